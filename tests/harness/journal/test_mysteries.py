"""Each state file of ``fixtures/mysteries`` has one mistake; one line names it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import pytest
from mystery import CASES, FOLDER, Mystery, ingest

from harness.journal.both_sides import investigate
from harness.journal.explain import UnknownId, explain, not_billed
from harness.journal.watch_lines import plain_lines


def test_every_state_file_has_its_cause_and_every_cause_its_state_file() -> None:
    assert {file.stem for file in FOLDER.glob("*.yaml")} - {"causes"} == set(CASES)


def gateways_side(capture: Path, journal: Path, request: str) -> str | None:
    try:
        return explain(journal, request, time.time()).line
    except UnknownId:
        return None


def both_sides(capture: Path, journal: Path, request: str) -> str | None:
    """What ``capture explain --journal`` and ``explain --capture`` print first."""
    accounts = investigate(capture, journal, request, time.time()).accounts
    return accounts[0].line if accounts else None


Ask = Callable[[Path, Path, str], str | None]


@pytest.mark.parametrize("ask", [gateways_side, both_sides])
@pytest.mark.parametrize("name", CASES)
def test_one_line_names_the_cause(name: str, ask: Ask, tmp_path: Path) -> None:
    """The line is explain's; where no event was made, the gateway's own watch has it too, when it happens."""
    case = CASES[name]
    watched: list[str] = []

    async def main() -> None:
        async with (
            ingest(tmp_path, **case.get("ingest", {})) as endpoint,
            Mystery(name, tmp_path, endpoint.port, plain_lines(watched.append)) as mystery,
        ):
            ids = await mystery.send(case["requests"])
            asked = ids[case.get("explained", 0) - 1]
            cause = case.get("captured", case["cause"]) if ask is both_sides else case["cause"]
            line = await _explained(partial(ask, endpoint.capture, mystery.journal, asked), cause)
            assert fnmatchcase(line, _literal(cause)), line
            listed = {each.request: each.line for each in not_billed(mystery.journal, time.time())}
            assert (asked in listed) == (not line.startswith("billed"))

    asyncio.run(main())
    if case["cause"].startswith("not billed"):
        assert [line for line in watched if line.endswith(case["cause"])], watched


async def _explained(ask: Callable[[], str | None], expected: str) -> str:
    """Return the line once it is what is expected, or after ten seconds, whatever it is then."""
    line = ""
    end = time.monotonic() + 10
    while time.monotonic() < end and not fnmatchcase(line, _literal(expected)):
        await asyncio.sleep(0.02)
        line = ask() or ""
    return line


def _literal(pattern: str) -> str:
    """Return a pattern in which only ``*`` stands for something."""
    return pattern.replace("[", "[[]").replace("?", "[?]")
