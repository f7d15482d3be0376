"""What can be wrong with a condition: its text, or one evaluation of it."""

from __future__ import annotations

from plugin_emulator.documents import Problem


class InvalidCondition(ValueError):
    """A text is no condition (SPEC CND-5).

    ``line`` and ``column`` count from 1 and say where in the text; both are None when it is the text as a whole.
    The message quotes no string of the text: it may be a secret.
    """

    def __init__(
        self, reason: str, line: int | None = None, column: int | None = None, hint: str | None = None
    ) -> None:
        place = "" if line is None or column is None else f" at line {line}, column {column}"
        super().__init__(f"{reason}{place}")
        self.reason = reason
        self.line = line
        self.column = column
        self.hint = hint

    @classmethod
    def at(cls, text: str, offset: int, reason: str, hint: str | None = None) -> InvalidCondition:
        """Return the error for the character at ``offset`` (from 0) of ``text``."""
        before = text[:offset]
        return cls(reason, before.count("\n") + 1, offset - before.rfind("\n"), hint)

    def problem(self) -> Problem:
        """Return it as a problem of a plugin entity."""
        return Problem(str(self), ("condition",), self.hint or "correct the expression")


class ConditionFailed(Exception):
    """A CEL condition has no answer for a request (SPEC CND-3). The message quotes nothing of the request."""
