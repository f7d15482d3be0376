"""In what real ingest endpoints differ."""

from __future__ import annotations

import re
from dataclasses import dataclass

_PARAMETER = re.compile(r'\s*([A-Za-z0-9!#$&^_.+-]+)=(?:"([^"]*)"|([^\s";]*))\s*')


@dataclass(frozen=True, slots=True)
class Profile:
    """The manners of one ingest API.

    ``accepted_status`` answers success. ``exact_content_type`` takes a content type only without parameters.
    ``extension_members`` allows CloudEvents extensions beside the known envelope members. ``empty_batch`` takes an
    empty array sent as application/json. ``wrong_type_status`` answers another content type.
    """

    name: str
    accepted_status: int = 202
    exact_content_type: bool = False
    extension_members: bool = False
    empty_batch: bool = True
    wrong_type_status: int = 415

    def content_type(self, value: str) -> str | None:
        """Return the media type that ``value`` names, in lower case; None when it cannot be taken.

        The body is JSON and so UTF-8; a parameter ``charset`` may say so and nothing else. Other parameters are
        ignored.
        """
        if self.exact_content_type:
            return value
        kind, *parameters = value.split(";")
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


#: Konnect and OpenMeter's API of today.
V3 = Profile("v3")
#: OpenMeter's first API.
V1 = Profile("v1", 204, True, True, False, 400)

PROFILES = {profile.name: profile for profile in (V3, V1)}
