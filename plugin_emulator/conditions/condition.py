"""A compiled condition, in the language of its gateway version."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .errors import ConditionFailed, InvalidCondition
from .facts import Facts, Reader, Value

#: Longest condition, in characters (SPEC CND-5).
MAX_LENGTH = 1024
#: The first gateway version whose conditions are CEL.
CEL_SINCE = (3, 15)
#: How many different requests are remembered with their answer.
_REMEMBERED = 512

#: Answers for the values of the condition's fields, in their order. Raises ConditionFailed.
Evaluate = Callable[[Sequence[Value]], bool]


class Condition:
    """Decides whether a plugin runs for a request.

    ``language`` is ``"CEL"`` or ``"router expression"``, ``fields`` are the names of what it looks at. Two are equal
    when language and text are. Requests repeat themselves, and the answer depends on those fields alone: it is
    worked out once for a set of values, and kept.
    """

    __slots__ = ("_evaluate", "_known", "_readers", "fields", "language", "text")

    def __init__(self, text: str, language: str, fields: Sequence[tuple[str, Reader]], evaluate: Evaluate) -> None:
        self.text = text
        self.language = language
        self.fields = tuple(name for name, _ in fields)
        self._readers = tuple(reader for _, reader in fields)
        self._evaluate = evaluate
        self._known: dict[tuple[Value, ...], bool | str] = {}

    def holds(self, facts: Facts) -> bool:
        """Return whether the plugin runs for this request. Raises ConditionFailed."""
        values = tuple([read(facts) for read in self._readers])
        answer = self._known.get(values)
        if answer is None:
            answer = self._ask(values)
        if isinstance(answer, str):
            raise ConditionFailed(answer)
        return answer

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and (self.text, self.language) == (other.text, other.language)

    def __hash__(self) -> int:
        return hash((self.text, self.language))

    def __repr__(self) -> str:
        return f"Condition({self.language}, fields={self.fields})"

    def _ask(self, values: tuple[Value, ...]) -> bool | str:
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        try:
            answer: bool | str = self._evaluate(values)
        except ConditionFailed as failure:
            answer = str(failure)
        self._known[values] = answer
        return answer


def compile_condition(text: str, gateway: str) -> Condition:
    """Return ``text`` compiled for a gateway version: router expressions in 3.14, CEL from 3.15 on.

    Raises InvalidCondition with the place of the mistake.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidCondition(f"has {len(text)} characters, more than {MAX_LENGTH}")
    if not text.strip():
        raise InvalidCondition("is empty", hint="write an expression, or leave it out")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise InvalidCondition("has a character that no UTF-8 text has", hint="remove it")
    # The languages' libraries are loaded for those who have conditions.
    if is_cel(gateway):
        from .cel import compile_cel

        return compile_cel(text)
    from .router_expression import compile_router_expression

    return compile_router_expression(text)


def is_cel(gateway: str) -> bool:
    """Return whether the conditions of that gateway version, such as ``"3.16"``, are CEL."""
    return tuple(int(part) for part in gateway.split(".")[:2]) >= CEL_SINCE
