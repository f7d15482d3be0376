"""What is kept of a request beside the columns it is searched by: one zstd frame with its head and its exact body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import zstandard

from harness.capture.record import CapturedRequest, Relayed, body_members
from harness.capture.verdict import Finding, Verdict

#: Contents up to this size, of one event or a few, are compressed against a dictionary: by themselves they would
#: hardly shrink. Larger ones are all the dictionary they need.
SMALL = 4096
#: Bytes of the first small contents that make the dictionary.
DICTIONARY_SIZE = 16_384
#: zstd's levels. A body of 100 events shrinks to a tenth even at the fast one, which takes some 0.1 µs an event.
SMALL_LEVEL, LARGE_LEVEL = 1, -3


class Head(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The members of a CapturedRequest that are no columns; they mean what they mean there.

    ``verdicts`` is None when the columns say them: all alike, and nothing found.
    """

    monotonic: float
    connection: str
    method: str
    path: str
    headers: list[tuple[str, str]]
    size: int
    content_type: str | None = None
    findings: tuple[Finding, ...] = ()
    verdicts: tuple[Verdict, ...] | None = None
    relayed: Relayed | None = None


_encode = msgspec.json.Encoder().encode
_heads = msgspec.json.Decoder(Head)


def plain_content(request: CapturedRequest, verdicts: tuple[Verdict, ...] | None) -> bytes:
    """Return head and body: a line of JSON, then the body as it came."""
    head = Head(
        request.monotonic,
        request.connection,
        request.method,
        request.path,
        request.headers,
        request.size,
        request.content_type,
        request.findings,
        verdicts,
        request.relayed,
    )
    return b"%b\n%b" % (_encode(head), request.body_bytes())


def request_of(row: tuple[Any, ...], plain: bytes) -> CapturedRequest:
    """Return the request with columns (lane, n, arrived_at, status, fault, entries, verdict) and this content."""
    lane, n, arrived_at, status, fault, entries, verdict = row
    line, _, body = plain.partition(b"\n")
    head = _heads.decode(line)
    verdicts = head.verdicts if head.verdicts is not None else (Verdict(verdict),) * entries
    return CapturedRequest(
        n=n,
        lane=lane,
        arrived_at=arrived_at,
        monotonic=head.monotonic,
        connection=head.connection,
        method=head.method,
        path=head.path,
        headers=head.headers,
        size=head.size,
        content_type=head.content_type,
        status=status,
        fault=fault,
        findings=head.findings,
        verdicts=verdicts,
        relayed=head.relayed,
        **body_members(body),
    )


def body_of(plain: bytes) -> bytes:
    """Return the body in a content."""
    return plain.partition(b"\n")[2]


def verdicts_of(plain: bytes) -> list[str]:
    """Return the verdicts in a content of a request whose entries differ in them."""
    return [verdict.verdict for verdict in _heads.decode(plain.partition(b"\n")[0]).verdicts or ()]


class Compressor:
    """Compresses contents; small ones, as soon as there are enough, against the first of them as a dictionary."""

    def __init__(self, number: int | None = None, dictionary: bytes = b"") -> None:
        """``number`` names the ``dictionary``; None: there is none yet."""
        self._first = bytearray()
        self._large = zstandard.ZstdCompressor(level=LARGE_LEVEL)
        self._small = zstandard.ZstdCompressor(level=SMALL_LEVEL)
        self._number = number
        if number is not None:
            self.use(number, dictionary)

    def compress(self, plain: bytes) -> tuple[int | None, bytes]:
        """Return the number of the dictionary, if it took one, and ``plain`` as a zstd frame."""
        if len(plain) > SMALL:
            return None, self._large.compress(plain)
        return self._number, self._small.compress(plain)

    def learn(self, plain: bytes) -> bytes | None:
        """Take note of a content while there is no dictionary; return one when there is enough to make it of."""
        if self._number is not None or len(plain) > SMALL:
            return None
        self._first += plain
        return bytes(self._first) if len(self._first) >= DICTIONARY_SIZE else None

    def use(self, number: int, dictionary: bytes) -> None:
        """Compress small contents against ``dictionary`` from now on."""
        made = _raw(dictionary)
        made.precompute_compress(level=SMALL_LEVEL)
        self._small = zstandard.ZstdCompressor(level=SMALL_LEVEL, dict_data=made)
        self._number = number
        self._first.clear()


class Decompressor:
    """Decompresses contents; ``dictionary`` is asked once for each number that comes up."""

    def __init__(self, dictionary: Callable[[int], bytes]) -> None:
        self._dictionary = dictionary
        self._known: dict[int | None, zstandard.ZstdDecompressor] = {None: zstandard.ZstdDecompressor()}

    def decompress(self, number: int | None, frame: bytes) -> bytes:
        """Return what was compressed. Raises zstandard.ZstdError."""
        known = self._known.get(number)
        if known is None:
            assert number is not None
            known = zstandard.ZstdDecompressor(dict_data=_raw(self._dictionary(number)))
            self._known[number] = known
        return known.decompress(frame)


def _raw(dictionary: bytes) -> zstandard.ZstdCompressionDict:
    return zstandard.ZstdCompressionDict(dictionary, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
