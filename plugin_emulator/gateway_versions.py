"""The gateway versions that are emulated."""

from __future__ import annotations

#: Oldest first.
GATEWAY_VERSIONS = ("3.14", "3.15", "3.16")
NEWEST_GATEWAY = GATEWAY_VERSIONS[-1]
