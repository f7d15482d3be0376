"""What a gateway tells of the life of each request: facts, in the order in which they happen.

An :data:`Observer` is called with each fact on the gateway's event loop; it must not block and must not raise.
Without one no fact is made. Encoded as JSON a fact is a line of a journal, whose member ``fact`` says which it is.

Times are in seconds since the epoch. The only values of a request's headers and parameters that are in a fact are
those that name the subject or become an attribute; tokens and API keys of the configuration are in none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

#: The format of a journal; a reader refuses a higher one.
JOURNAL_VERSION = 1


class _Fact(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="fact"):
    """``at`` is when it happened."""

    at: float


class Named(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A Route, Service or Consumer: ``name`` is the name, or a Consumer's username."""

    id: str
    name: str | None = None


class Instance(msgspec.Struct, frozen=True, omit_defaults=True):
    """A metering plugin instance as configured, switched off or not; without a scope it is global.

    ``settings`` is the typed form of its ``config`` without secrets, of URLs without userinfo and query.
    ``without_token`` says that its token or API key is empty, as with a reference to what is not set.
    """

    id: str
    plugin: str
    phases: tuple[str, ...]
    settings: dict[str, Any]
    enabled: bool = True
    instance_name: str | None = None
    route: Named | None = None
    service: Named | None = None
    consumer: Named | None = None
    condition: str | None = None
    without_token: bool = False


class PassedOver(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Why ``plugin`` did nothing for a request: the SPEC rule, the reason in words, the instance it is about."""

    plugin: str
    rule: str
    reason: str
    instance: str | None = None


class SubjectReading(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What an instance found where its configuration says the subject stands.

    ``look_up_value_in`` is application, consumer, header or query; ``value`` is None when there was nothing, and
    ``near`` then the name of a header or parameter of the request that ``field`` may have been meant for, and
    ``elsewhere`` says that there is one of that name in the other place, header or query. Of an empty header
    ``times`` is how often it is in the request.
    """

    look_up_value_in: str
    field: str | None = None
    value: str | None = None
    near: str | None = None
    elsewhere: str | None = None
    times: int = 1


class AttributeReading(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What an instance found in the ``field`` of its ``source`` (header or query) for the property ``name``."""

    name: str
    source: str
    field: str
    value: str | None = None


class Started(_Fact, frozen=True, tag="gateway"):
    """A gateway of that version has begun to serve.

    With ``continued`` it serves already, and what is told of it goes on in another file.
    """

    gateway: str
    version: int = JOURNAL_VERSION
    continued: bool = False


class Configured(_Fact, frozen=True, tag="configuration"):
    """From now on these metering instances are configured; ``key_names`` is where key-auth looks for API keys."""

    instances: tuple[Instance, ...]
    key_names: tuple[str, ...] = ()


class Ended(_Fact, frozen=True, tag="request"):
    """A request is answered, or its client has gone: ``status`` is what the client got.

    ``upstream_status`` is the gateway's text for it, None when no upstream was asked. ``anonymous`` says that the
    Consumer is key-auth's stand-in for a request without a valid key. ``instances`` are those whose turn it was,
    ``less_specific`` those that fit, too, but gave way to another one of their plugin. In words, without a value of
    the request: ``unauthenticated`` is why no Consumer is proven, where key-auth is configured, ``near_route`` the
    Route that came nearest where none matched, ``no_usage`` why ai-proxy counted no tokens.
    """

    request: str
    started_at: float
    method: str
    path: str
    status: int
    upstream_status: int | str | None = None
    route: Named | None = None
    service: Named | None = None
    consumer: Named | None = None
    anonymous: bool = False
    instances: tuple[str, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    less_specific: tuple[str, ...] = ()
    unauthenticated: str | None = None
    near_route: str | None = None
    no_usage: str | None = None


class Metered(_Fact, frozen=True, tag="metered"):
    """An instance has metered a request: it queued ``events`` (id and type each), or made none, by ``rule``."""

    request: str
    instance: str
    subject: SubjectReading
    attributes: tuple[AttributeReading, ...] = ()
    events: tuple[tuple[str, str], ...] = ()
    rule: str | None = None
    reason: str | None = None


class NotBuilt(_Fact, frozen=True, tag="not_built"):
    """An instance made no event of a request because of a defect of its own, whose ``problem`` is in words."""

    request: str
    instance: str
    problem: str


class Sending(_Fact, frozen=True, tag="batch"):
    """A batch has formed and its first try begins; ``batch`` counts an instance's batches from 1."""

    instance: str
    batch: int
    events: tuple[str, ...]


class Tried(_Fact, frozen=True, tag="try"):
    """A try of a batch is over, after ``took`` seconds. ``number`` counts from 1.

    With ``ok`` the batch is delivered. ``status`` is None when no answer came; ``problem`` then says why.
    """

    instance: str
    batch: int
    number: int
    took: float
    ok: bool
    status: int | None = None
    problem: str = ""


class UnderWay(_Fact, frozen=True, tag="under_way"):
    """A batch of ``size`` events that is under way when what is told goes on in another file.

    It formed at ``formed_at``; ``tries`` are the first and the latest one that are over.
    """

    instance: str
    batch: int
    formed_at: float
    size: int
    tries: tuple[Tried, ...] = ()


class Lost(_Fact, frozen=True, tag="lost"):
    """Events will not be delivered, by ``rule``; ``batch`` is None for those that never left the queue."""

    instance: str
    events: tuple[str, ...]
    rule: str
    reason: str
    batch: int | None = None


class Stopped(_Fact, frozen=True, tag="stopped"):
    """The gateway has stopped; ``lost`` queued events were lost by it."""

    lost: int = 0


Fact = Started | Configured | Ended | Metered | NotBuilt | Sending | Tried | UnderWay | Lost | Stopped

#: Is told of each fact.
Observer = Callable[[Fact], None]
