"""A gateway's version, and the profile by which a gateway of that version is judged."""

from __future__ import annotations

import re

from harness.conformance.profiles import profiles
from harness.conformance.rules import DEFAULT_PROFILE, PROFILES
from harness.targets.target import TargetUnavailableError

_MINOR_VERSION = re.compile(r"(\d+)\.(\d+)")


def profile_for(version: str | None, asked: str | None) -> str:
    """Return the profile for a gateway that calls itself ``version`` (``3.14.0.1``; None: it does not say).

    Without one that is ``asked`` for it is that of the gateway's minor version, the newest for a newer gateway.
    Raises TargetUnavailableError when ``asked`` is another one than that, and for a gateway older than every profile
    when none is asked for.
    """
    minor = _minor_version(version)
    if minor is None:
        return asked or DEFAULT_PROFILE
    if asked is not None and asked not in PROFILES:
        return asked  # another plugin's, whose rules are the same in every gateway
    oldest, newest = PROFILES[0], PROFILES[-1]
    if minor < _of_profile(oldest):
        if asked is None:
            raise TargetUnavailableError(
                f"the gateway is version {version}, older than every profile: say with --profile which gateway "
                f"its plugin is to be judged as ({oldest} … {newest})"
            )
        return asked
    fitting = newest if minor > _of_profile(newest) else f"kong-{minor[0]}.{minor[1]}"
    if asked not in (None, fitting):
        raise TargetUnavailableError(
            f"the gateway is version {version}, which is judged by profile {fitting}, not by {asked}: "
            f"leave --profile out, or give --profile {fitting}"
        )
    return fitting


def newer_than_known(version: str | None) -> bool:
    """Return whether a gateway is newer than every profile."""
    minor = _minor_version(version)
    return minor is not None and minor > _of_profile(PROFILES[-1])


def _minor_version(version: str | None) -> tuple[int, int] | None:
    found = _MINOR_VERSION.match(version or "")
    return None if found is None else (int(found[1]), int(found[2]))


def _of_profile(profile: str) -> tuple[int, int]:
    minor = _minor_version(profiles()[profile].gateway)
    assert minor is not None
    return minor
