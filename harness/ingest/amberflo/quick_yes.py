"""A quick yes for a whole body of meter records: one typed pass over its bytes, for what is nearly always the case.

It is narrower than the strict schema by construction: whatever it does not know for certain it leaves to that. It
says yes or nothing, never no. A test holds it to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_UuidLength = Annotated[str, msgspec.Meta(min_length=36, max_length=36)]
_HEX_DIGITS = b"0123456789abcdefABCDEF"
_DASHES_AT = (8, 13, 18, 23)
# Neither seconds nor microseconds of our time are in these bounds. What is written as 1e12 is for the schema.
_Milliseconds = Annotated[int, msgspec.Meta(ge=10**11, lt=10**14)]
_Dimensions = Annotated[dict[str, str], msgspec.Meta(min_length=1)]


class QuickRecord(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A record as the plugin makes it (AMB-2)."""

    uniqueId: _UuidLength  # noqa: N815 - the API's own names
    meterApiName: _Text  # noqa: N815
    customerId: _Text  # noqa: N815
    meterValue: Literal[1]  # noqa: N815
    meterTimeInMillis: _Milliseconds  # noqa: N815
    dimensions: _Dimensions | msgspec.UnsetType = msgspec.UNSET


_decoder = msgspec.json.Decoder(list[QuickRecord])


def quick_records(body: bytes) -> Sequence[QuickRecord] | None:
    """Return the records of ``body`` when it is a JSON array of valid ones, None when it takes a closer look."""
    try:
        records = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return records if _are_uuids([record.uniqueId for record in records]) else None


def _are_uuids(ids: Sequence[str]) -> bool:
    """Return whether ``ids``, of 36 characters each, are UUIDs: hex digits with dashes where they belong.

    All in one go, several times faster than a pattern for each.
    """
    joined = "".join(ids).encode()
    if joined.translate(None, _HEX_DIGITS) != b"-" * (len(_DASHES_AT) * len(ids)):
        return False
    return all(joined[at::36] == b"-" * len(ids) for at in _DASHES_AT)
