"""Kong's Enterprise licence: where it is found, until when it is valid.

A licence is JSON: ``{"license": {"payload": {"license_expiration_date": "2027-01-31", …}, "signature": …}}``.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

LICENCE_VARIABLE = "KONG_LICENSE_DATA"
PATH_VARIABLE = "KONG_LICENSE_PATH"


class LicenceError(ValueError):
    """What was given is no licence; the text is one line, without a word of what the licence says."""


@dataclass(frozen=True, slots=True)
class Licence:
    """``text`` is what Kong wants, ``origin`` the file or variable it is from, ``expires`` its last day."""

    origin: str
    expires: datetime.date
    text: str = field(repr=False)

    def valid(self, today: datetime.date) -> bool:
        """Return whether the licence has not expired."""
        return today <= self.expires

    def secrets(self) -> list[str]:
        """Return what must be hidden in logs: the licence as a whole, and every part that is long enough to tell."""
        found = [self.text, self.text.strip()]
        waiting = [json.loads(self.text)]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                waiting.extend(value.values())
            elif isinstance(value, list):
                waiting.extend(value)
            elif isinstance(value, str) and len(value) >= 12:
                found.append(value)
        return found


def find_licence(file: Path | None, environ: Mapping[str, str]) -> Licence | None:
    """Return the licence in ``file``, or else in Kong's variables, or None when there is none.

    Raises LicenceError for one that cannot be read.
    """
    if file is not None:
        return read_licence(file)
    if environ.get(LICENCE_VARIABLE, "").strip():
        return parse_licence(environ[LICENCE_VARIABLE], LICENCE_VARIABLE)
    if environ.get(PATH_VARIABLE):
        return read_licence(Path(environ[PATH_VARIABLE]))
    return None


def read_licence(file: Path) -> Licence:
    """Read a licence file. Raises LicenceError."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise LicenceError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise LicenceError(f"{file}: is not a Kong licence: not UTF-8 text") from None
    return parse_licence(text, str(file))


def parse_licence(text: str, origin: str) -> Licence:
    """Read a licence from its text. Raises LicenceError, which names ``origin`` and quotes nothing."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise LicenceError(f"{origin}: is not a Kong licence: not JSON") from None
    payload = document
    for key in ("license", "payload"):
        payload = payload.get(key) if isinstance(payload, dict) else None
    date = payload.get("license_expiration_date") if isinstance(payload, dict) else None
    if not isinstance(date, str):
        raise LicenceError(f"{origin}: is not a Kong licence: no license.payload.license_expiration_date in it")
    try:
        expires = datetime.date.fromisoformat(date[:10])
    except ValueError:
        raise LicenceError(f"{origin}: the licence's expiration date is not a date") from None
    return Licence(origin, expires, text)
