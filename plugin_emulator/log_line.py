"""Lines for an operator, each with one of Kong's log levels."""

from __future__ import annotations

from collections.abc import Callable

#: From the least to the most serious.
LOG_LEVELS = ("debug", "info", "notice", "warn", "error", "crit", "alert", "emerg")
DEFAULT_LOG_LEVEL = "notice"


class LogLine(str):
    """A line with its ``level``. A plain text where a line is wanted is a warning."""

    level: str

    @classmethod
    def at(cls, level: str, text: str) -> LogLine:
        """Return a line of a known level."""
        line = cls(text)
        line.level = level
        return line


def debug(text: str) -> LogLine:
    """Return a line that only who looks for a defect wants to see."""
    return LogLine.at("debug", text)


def info(text: str) -> LogLine:
    """Return a line on what happens in the ordinary course of things."""
    return LogLine.at("info", text)


def error(text: str) -> LogLine:
    """Return a line on something that is lost or was not done."""
    return LogLine.at("error", text)


def level_of(line: str) -> str:
    """Return a line's level."""
    return line.level if isinstance(line, LogLine) else "warn"


def from_level(least: str, write: Callable[[str], None]) -> Callable[[str], None]:
    """Return what passes lines on to ``write``, as ``[level] text``, when they are of level ``least`` or above.

    Raises ValueError for a level that is not known.
    """
    passed = frozenset(LOG_LEVELS[LOG_LEVELS.index(least) :])

    def log(line: str) -> None:
        level = level_of(line)
        if level in passed:
            write(f"[{level}] {line}")

    return log
