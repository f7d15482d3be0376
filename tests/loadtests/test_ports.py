"""A port that a gateway finds free again after a restart."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from loadtests import ports


def test_it_is_free_and_never_one_that_the_system_gives_to_clients() -> None:
    first = ports._first_of_clients()
    for _ in range(20):
        port = ports.lasting_port()
        assert port < first
        socket.create_server(("127.0.0.1", port)).close()


def test_where_the_system_s_range_is_unknown_the_usual_one_is_kept_clear_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ports, "_RANGE", tmp_path / "none")
    assert ports.lasting_port() < 32_768


def test_when_no_port_is_free_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def taken(address: object) -> None:
        raise OSError

    monkeypatch.setattr(ports.socket, "create_server", taken)
    with pytest.raises(OSError, match=r"no port of 127\.0\.0\.1 between"):
        ports.lasting_port()
