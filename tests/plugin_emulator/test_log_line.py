"""Lines for an operator are shown from the level that is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugin_emulator.log_line import LOG_LEVELS, LogLine, debug, error, from_level, info, level_of

levels = st.sampled_from(LOG_LEVELS)


@given(levels, levels, st.text())
def test_a_line_is_shown_with_its_level_when_it_is_serious_enough(least: str, level: str, text: str) -> None:
    shown: list[str] = []
    from_level(least, shown.append)(LogLine.at(level, text))
    assert shown == ([f"[{level}] {text}"] if LOG_LEVELS.index(level) >= LOG_LEVELS.index(least) else [])


def test_a_plain_text_is_a_warning() -> None:
    assert [level_of(line) for line in ("x", debug("x"), info("x"), error("x"))] == ["warn", "debug", "info", "error"]


def test_a_level_that_is_not_known_is_an_error() -> None:
    with pytest.raises(ValueError):
        from_level("warning", print)
