"""The string formats of an event envelope, checked to the letter: RFC 3339 date-time, RFC 3986 URI and reference.

The ``jsonschema`` library ignores these formats unless packages of their own are installed; here they are part of
the check, written from the grammars. They judge what the native validator refuses.
"""

from __future__ import annotations

import calendar
import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from jsonschema import FormatChecker

_DATE_TIME = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(\.\d+)?(?:[Zz]|([+-])(\d{2}):(\d{2}))", re.ASCII
)
#: What to ask jsonschema-rs for a date-time: by the format alone it also takes any of ``*+,-./`` for a digit.
NATIVE_DATE_TIME = {
    "format": "date-time",
    "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$",
}
_PCHAR = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})"
_QUERY = re.compile(rf"(?:{_PCHAR}|[/?])*")
_PATH = re.compile(rf"(?:{_PCHAR}|/)*")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(.*)", re.DOTALL)
_USER_INFO = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:]|%[0-9A-Fa-f]{2})*")
_NAME = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
_FUTURE_ADDRESS = re.compile(r"[vV][0-9A-Fa-f]+\.[A-Za-z0-9\-._~!$&'()*+,;=:]+")
_LAST_MINUTE = 24 * 60 - 1


def is_date_time(text: str) -> bool:
    """Return whether ``text`` is an RFC 3339 date-time of a real day; :60 only in a day's last UTC minute."""
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return False
    year, month, day, hour, minute, second = (int(part) for part in match.group(1, 2, 3, 4, 5, 6))
    offset_hour, offset_minute = int(match[9] or 0), int(match[10] or 0)
    if not (1 <= month <= 12 and hour < 24 and minute < 60 and offset_hour < 24 and offset_minute < 60):
        return False
    # The Gregorian calendar repeats every 400 years, and Python's has no year 0.
    if not 1 <= day <= calendar.monthrange(year or 400, month)[1]:
        return False
    if second < 60:
        return True
    offset = (offset_hour * 60 + offset_minute) * (-1 if match[8] == "-" else 1)
    return second == 60 and (hour * 60 + minute - offset) % (24 * 60) == _LAST_MINUTE


def instant(text: str) -> datetime | None:
    """Return an RFC 3339 date-time as an aware datetime, None when ``text`` is none.

    A leap second becomes the second before it; a moment outside Python's years 1…9999 becomes the nearest inside.
    """
    match = _DATE_TIME.fullmatch(text)
    if match is None or not is_date_time(text):
        return None
    year, month, day, hour, minute, second = (int(part) for part in match.group(1, 2, 3, 4, 5, 6))
    fraction = int(((match[7] or ".0")[1:] + "000000")[:6])
    if year == 0:
        return datetime.min.replace(tzinfo=UTC)
    moment = datetime(year, month, day, hour, minute, min(second, 59), fraction, tzinfo=UTC)
    offset = timedelta(hours=int(match[9] or 0), minutes=int(match[10] or 0))
    try:
        return moment + offset if match[8] == "-" else moment - offset
    except OverflowError:
        return (datetime.min if year < 5000 else datetime.max).replace(tzinfo=UTC)


def is_uri(text: str) -> bool:
    """Return whether ``text`` is an RFC 3986 URI: a scheme, a colon, the rest."""
    match = _SCHEME.fullmatch(text)
    return match is not None and _is_rest(match[2])


def is_uri_reference(text: str) -> bool:
    """Return whether ``text`` is an RFC 3986 URI or relative reference."""
    if is_uri(text):
        return True
    path = re.split(r"[?#]", text, maxsplit=1)[0]
    return ":" not in path.split("/", 1)[0] and _is_rest(text)


def _is_rest(text: str) -> bool:
    """Check authority, path, query and fragment."""
    rest, _, fragment = text.partition("#")
    rest, _, query = rest.partition("?")
    if not (_QUERY.fullmatch(fragment) and _QUERY.fullmatch(query)):
        return False
    if rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        return _is_authority(authority) and _PATH.fullmatch(slash + path) is not None
    return _PATH.fullmatch(rest) is not None


def _is_authority(text: str) -> bool:
    user_info, at, host = text.rpartition("@")
    if at and not _USER_INFO.fullmatch(user_info):
        return False
    if host.startswith("["):
        address, bracket, port = host[1:].partition("]")
        if not bracket or not (port == "" or port.startswith(":")):
            return False
        return _is_digits(port[1:]) and (_is_ipv6(address) or _FUTURE_ADDRESS.fullmatch(address) is not None)
    name, _, port = host.partition(":")
    return _NAME.fullmatch(name) is not None and _is_digits(port)


def _is_digits(text: str) -> bool:
    return text == "" or (text.isascii() and text.isdigit())


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return "%" not in text


def checker() -> FormatChecker:
    """Return a format checker for ``jsonschema`` that knows date-time, uri and uri-reference."""
    formats = FormatChecker(())
    for name, check in (("date-time", is_date_time), ("uri", is_uri), ("uri-reference", is_uri_reference)):
        formats.checks(name)(_strings_only(check))
    return formats


def _strings_only(check: Callable[[str], bool]) -> Callable[[object], bool]:
    return lambda value: not isinstance(value, str) or check(value)
