"""The parameters of the page's questions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
from aiohttp import web

from harness.capture_page.filter import Filter

_VERDICTS = ("accepted", "duplicate", "invalid", "refused", "mixed")


class WrongQuestion(ValueError):
    """A parameter cannot be understood. The message is one line."""


def filter_of(request: web.Request) -> Filter:
    """Return the filter a request asks with; ``subject`` and ``type`` are JSON, null for events without one.

    Raises WrongQuestion.
    """
    query = request.query
    verdicts = tuple(query.getall("verdict", ()))
    if unknown := [name for name in verdicts if name not in _VERDICTS]:
        raise WrongQuestion(f"verdict {unknown[0]!r} is none of: {', '.join(_VERDICTS)}")
    return Filter(
        terms=tuple(dict.fromkeys(query.get("text", "").lower().split())),
        subjects=_texts("subject", query.getall("subject", ())),
        types=_texts("type", query.getall("type", ())),
        lanes=tuple(query.getall("lane", ())),
        verdicts=verdicts,
        since=_moment(request, "since"),
        until=_moment(request, "until"),
        request=number_of(request, "request") if "request" in query else None,
    )


def number_of(request: web.Request, name: str, otherwise: int | None = None) -> int:
    """Return the parameter ``name``, a whole number from 0. Raises WrongQuestion."""
    text = request.query.get(name)
    if text is None and otherwise is not None:
        return otherwise
    if text is None or not text.isdecimal() or len(text) > 15:
        raise WrongQuestion(f"{name} is a whole number from 0, not {text!r}")
    return int(text)


def _moment(request: web.Request, name: str) -> float | None:
    text = request.query.get(name)
    if text is None:
        return None
    try:
        moment = float(text)
    except ValueError:
        moment = math.nan
    if not math.isfinite(moment):
        raise WrongQuestion(f"{name} is in seconds since 1970, not {text!r}")
    return moment


def _texts(name: str, values: Sequence[str]) -> tuple[str | None, ...]:
    try:
        return tuple(msgspec.json.decode(value, type=str | None) for value in values)
    except msgspec.DecodeError:
        raise WrongQuestion(f"{name} is a text in JSON, or null") from None
