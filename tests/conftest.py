"""Fixtures for all tests. That this file is here also lets every test import the modules beside it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from chromium import Chromium, chromium_path


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """A real browser for the whole session; without one the test is skipped."""
    if chromium_path() is None:
        pytest.skip("no chromium on PATH: apt-get install chromium, or any Chromium or Chrome, makes this test run")
    with Chromium() as browser:
        yield browser


@pytest.fixture(scope="session", autouse=True)
def _interrupts_are_heard() -> None:
    """What a shell script runs in the background ignores Ctrl-C, and so would each process that a test interrupts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
