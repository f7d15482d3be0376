"""A verdict on one received event, and the findings it rests on."""

from __future__ import annotations

from typing import Literal

import msgspec

#: ``accepted``: taken in. ``duplicate``: well-formed, but (source, id) was taken in before; not an error.
#: ``invalid``: breaks a rule. ``refused``: well-formed, but its request was not answered with success.
Outcome = Literal["accepted", "duplicate", "invalid", "refused"]


class Finding(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One thing worth saying about a request or an event.

    ``rule`` is the id of the broken rule, ``pointer`` a JSON pointer into the body ("" is all of it) or a header's
    name, ``constraint`` the ingest API's own name for what is wrong (``required``, ``is_string`` …), ``source`` the
    part of the request.
    """

    rule: str
    pointer: str
    message: str
    constraint: str = "invalid"
    source: Literal["body", "header"] = "body"


class Verdict(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What became of one event, and what was found in it. An accepted event may carry findings, too."""

    verdict: Outcome
    findings: tuple[Finding, ...] = ()


ACCEPTED = Verdict("accepted")
DUPLICATE = Verdict("duplicate")
REFUSED = Verdict("refused")
