"""Which of a request's headers or parameters may have been meant by a name that is not among them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

#: Share of characters that two names must have in common, in order.
_ALIKE = 0.8
#: How the headers begin that the gateway itself adds of an authenticated Consumer: nobody misspelt those.
_OF_THE_GATEWAY = ("x-consumer-", "x-credential-", "x-anonymous-")


def near_name(wanted: str, names: Iterable[str]) -> str | None:
    """Return the one of ``names`` (as it is written) that is most like ``wanted`` without case, or None."""
    written = {name.lower(): name for name in names}
    candidates = [name for name in written if not name.startswith(_OF_THE_GATEWAY)]
    near = difflib.get_close_matches(wanted.lower(), candidates, n=1, cutoff=_ALIKE)
    return written[near[0]] if near else None
