"""Fixtures for all tests. That this file is here also lets every test import the modules beside it."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import docker_engine
import pytest
from chromium import Chromium, chromium_path
from docker_engine import Engine


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


def pytest_collection_finish(session: pytest.Session) -> None:
    """Begin at once what takes long and comes late: the image of the tests that run in containers."""
    if session.config.option.collectonly or not any(map(_runs_in_containers, session.items)):
        return
    if isinstance(docker_engine.engine_or_reason(), Engine):
        docker_engine.begin_build()


def pytest_unconfigure() -> None:
    docker_engine.end_build()


def _runs_in_containers(item: pytest.Item) -> bool:
    imported = vars(getattr(item, "module", None) or object).get("docker_engine")
    return imported is docker_engine and item.get_closest_marker("slow") is not None
