"""The media type of a body that must be JSON in UTF-8."""

from __future__ import annotations

import re

_PARAMETER = re.compile(r'\s*([A-Za-z0-9!#$&^_.+-]+)=(?:"([^"]*)"|([^\s";]*))\s*')


def media_type(content_type: str) -> str | None:
    """Return the media type that a Content-Type names, in lower case; None when it cannot be taken.

    JSON is UTF-8; a parameter ``charset`` may say so and nothing else. Other parameters are ignored.
    """
    kind, *parameters = content_type.split(";")
    for parameter in parameters:
        match = _PARAMETER.fullmatch(parameter)
        if match is None:
            if parameter.strip():
                return None
            continue
        charset = match[2] if match[2] is not None else match[3]
        if match[1].lower() == "charset" and charset.lower() not in ("utf-8", "utf8"):
            return None
    return kind.strip().lower()
