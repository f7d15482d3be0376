"""The lives of requests, put together from a gateway's facts: each request with its events and their batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from dataclasses import dataclass, field

from plugin_emulator.journal import (
    Configured,
    Ended,
    Fact,
    Instance,
    Lost,
    Metered,
    NotBuilt,
    Sending,
    Started,
    Stopped,
    Tried,
    UnderWay,
)

#: By these rules a plugin is not for a request: none of its instances has a scope that fits and is switched on.
NOT_FOR_IT = frozenset(("FLT-1", "FLT-3", "FLT-7"))
#: The tries of a batch that are kept: the first and the latest ones.
LATEST_TRIES = 20
#: What becomes of what was queued in a gateway that ended without a word.
_KILLED = ("LIF-1", "the gateway was killed: nothing that is queued survives that")


#: As above, of a journal that nobody writes any more and in which no gateway has stopped.
_ENDED_WITHOUT_A_WORD = (
    "LIF-1",
    "the gateway was killed: nobody writes the journal any more, and nothing that is queued survives that",
)


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """From ``at`` on (seconds since the epoch) an instance is configured as ``after``; None: it is removed."""

    at: float
    before: Instance
    after: Instance | None


@dataclass(slots=True, eq=False)
class BatchLife:
    """A batch from its first try on. ``size`` is its number of events, ``events`` are those that are kept.

    ``every`` has all tries, where they are kept; ``configured`` what its instance was from when on.
    """

    instance: str
    number: int
    formed_at: float
    size: int
    events: list[EventLife] = field(default_factory=list)
    first: Tried | None = None
    latest: deque[Tried] = field(default_factory=lambda: deque(maxlen=LATEST_TRIES))
    every: list[Tried] | None = None
    configured: list[tuple[float, Instance]] = field(default_factory=list)

    def instance_at(self, at: float) -> Instance | None:
        """Return its instance as configured at that time (LIF-3), None when that is not known."""
        until = [instance for since, instance in self.configured if since <= at]
        return until[-1] if until else self.configured[0][1] if self.configured else None

    def tried_by(self, tried: Tried) -> Instance | None:
        """Return its instance as configured when that try began, None when that is not known."""
        return self.instance_at(tried.at - tried.took)

    @property
    def delivered(self) -> bool:
        """Whether a try was answered with success."""
        return bool(self.latest) and self.latest[-1].ok


@dataclass(slots=True, eq=False)
class EventLife:
    """An event from the moment it is queued. ``batch`` is None as long as it waits; ``lost`` says by what rule."""

    id: str
    type: str
    request: RequestLife
    instance: str
    queued_at: float
    batch: BatchLife | None = None
    lost: Lost | None = None

    @property
    def settled(self) -> bool:
        """Whether it is delivered or lost."""
        return self.lost is not None or (self.batch is not None and self.batch.delivered)


@dataclass(slots=True, eq=False)
class RequestLife:
    """A request: ``ended`` is None while it is under way, ``instances`` is the configuration it was metered by.

    ``changes`` are those of the instances that had an event of it then.
    """

    id: str
    instances: dict[str, Instance]
    ended: Ended | None = None
    metered: list[Metered] = field(default_factory=list)
    not_built: list[NotBuilt] = field(default_factory=list)
    events: list[EventLife] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)

    @property
    def told_by(self) -> set[str]:
        """Ids of the instances that have had their turn and told so."""
        return {each.instance for each in self.metered} | {each.instance for each in self.not_built}

    @property
    def billed(self) -> bool:
        """Whether it made events at each plugin that is for it, and all of them are delivered."""
        if not self.events or self.not_built or not all(each.events for each in self.metered):
            return False
        if self.ended is not None:
            meant = all(each.rule in NOT_FOR_IT for each in self.ended.passed_over)
            if not meant or not self.told_by.issuperset(self.ended.instances):
                return False
        return all(each.lost is None and each.settled for each in self.events)


@dataclass(slots=True, eq=False)
class QueueLife:
    """What one instance's queue holds: the number of ``waiting`` events, and the batches under way by number.

    Not ``complete``: what the facts told begin with is not the beginning, so that more events may be waiting.
    """

    complete: bool = True
    waiting: int = 0
    under_way: dict[int, BatchLife] = field(default_factory=dict)
    delivered: int = 0
    lost: int = 0
    posts: int = 0
    failed_posts: int = 0


class Lives:
    """Takes in facts in their order and keeps ``requests`` by id, the oldest first.

    With ``wanted`` only those, and every try of their batches; with ``keep`` only the newest so many; with
    ``unbilled_only`` none that is billed. ``now`` is the time of the latest fact, ``queues`` are by id of their
    instance. ``complete`` is false when what was before the first fact is no longer known.
    """

    def __init__(
        self, wanted: Container[str] | None = None, keep: int | None = None, *, unbilled_only: bool = False
    ) -> None:
        self.complete = True
        self.requests: dict[str, RequestLife] = {}
        self.instances: dict[str, Instance] = {}
        self.queues: dict[str, QueueLife] = {}
        self.now = 0.0
        self.running = False
        self._wanted = wanted
        self._keep = keep
        self._unbilled_only = unbilled_only
        self._open: dict[str, EventLife] = {}

    def tell(self, fact: Fact) -> RequestLife | None:
        """Take in one fact; return the request it is about, if it is about one that is kept."""
        first, self.now = not self.now, fact.at
        match fact:
            case Ended():
                life = self._life(fact.request)
                if life is not None:
                    life.ended = fact
                    self._done_with(life)
                return life
            case Metered():
                return self._metered(fact)
            case NotBuilt():
                life = self._life(fact.request)
                if life is not None:
                    life.not_built.append(fact)
                return life
            case Sending():
                self._sending(fact)
            case Tried():
                self._tried(fact)
            case Lost():
                self._lost(fact)
            case UnderWay():
                self._under_way(fact)
            case Configured():
                self._configured(fact)
            case Started(continued=True):
                self.running = True
                self.complete = self.complete and not first
            case Started():
                self._begin()
            case Stopped():
                self.running = False
                self.queues.clear()
        return None

    def queue(self, instance: str) -> QueueLife:
        """Return the queue of an instance."""
        return self.queues.setdefault(instance, QueueLife(self.complete))

    def ended_without_a_word(self) -> None:
        """The gateway whose facts are told was killed: what it had in its queues is lost with its last fact."""
        self._killed(*_ENDED_WITHOUT_A_WORD)
        self.running = False

    def _begin(self) -> None:
        """A gateway starts; whatever an earlier one had in its queues is gone."""
        self._killed(*_KILLED)
        self.running = self.complete = True

    def _killed(self, rule: str, reason: str) -> None:
        for event in self._open.values():
            event.lost = Lost(self.now, event.instance, (event.id,), rule, reason)
        self._open.clear()
        self.queues.clear()

    def _configured(self, fact: Configured) -> None:
        before, self.instances = self.instances, {each.id: each for each in fact.instances}
        changes = {
            id_: Change(fact.at, instance, self.instances.get(id_))
            for id_, instance in before.items()
            if self.instances.get(id_) != instance
        }
        if not changes:
            return
        for queue in self.queues.values():
            for batch in queue.under_way.values():
                change = changes.get(batch.instance)
                if change is not None and change.after is not None:
                    batch.configured.append((change.at, change.after))
        for event in self._open.values():
            change = changes.get(event.instance)
            if change is not None and change not in event.request.changes:
                event.request.changes.append(change)

    def _life(self, request: str) -> RequestLife | None:
        life = self.requests.get(request)
        if life is None and (self._wanted is None or request in self._wanted):
            life = self.requests[request] = RequestLife(request, self.instances)
            if self._keep is not None and len(self.requests) > self._keep:
                self._forget(next(iter(self.requests)))
        return life

    def _forget(self, request: str) -> None:
        for event in self.requests.pop(request).events:
            self._open.pop(event.id, None)

    def _metered(self, fact: Metered) -> RequestLife | None:
        if fact.events:
            self.queue(fact.instance).waiting += len(fact.events)
        life = self._life(fact.request)
        if life is not None:
            life.metered.append(fact)
            for id_, kind in fact.events:
                event = self._open[id_] = EventLife(id_, kind, life, fact.instance, fact.at)
                life.events.append(event)
        return life

    def _sending(self, fact: Sending) -> None:
        queue = self.queue(fact.instance)
        queue.waiting = max(queue.waiting - len(fact.events), 0)
        batch = self._batch(fact.instance, fact.batch, fact.at, len(fact.events))
        for event in map(self._open.get, fact.events):
            if event is not None:
                event.batch = batch
                batch.events.append(event)
        if batch.events and self._wanted is not None:
            batch.every = []

    def _under_way(self, fact: UnderWay) -> None:
        """A batch of which the part of the journal that is left may not have the beginning."""
        if fact.batch not in self.queue(fact.instance).under_way:
            batch = self._batch(fact.instance, fact.batch, fact.formed_at, fact.size)
            batch.first = next(iter(fact.tries), None)
            batch.latest.extend(fact.tries)

    def _batch(self, instance: str, number: int, formed_at: float, size: int) -> BatchLife:
        batch = self.queue(instance).under_way[number] = BatchLife(instance, number, formed_at, size)
        if instance in self.instances:
            batch.configured.append((formed_at, self.instances[instance]))
        return batch

    def _tried(self, fact: Tried) -> None:
        queue = self.queue(fact.instance)
        queue.posts += 1
        batch = queue.under_way.get(fact.batch)
        if batch is None:
            return
        batch.first = batch.first or fact
        batch.latest.append(fact)
        if batch.every is not None:
            batch.every.append(fact)
        if not fact.ok:
            queue.failed_posts += 1
            return
        del queue.under_way[fact.batch]
        queue.delivered += batch.size
        self._settled(batch.events)

    def _lost(self, fact: Lost) -> None:
        queue = self.queue(fact.instance)
        queue.lost += len(fact.events)
        if fact.batch is None:
            queue.waiting = max(queue.waiting - len(fact.events), 0)
        else:
            queue.under_way.pop(fact.batch, None)
        events = [event for event in map(self._open.get, fact.events) if event is not None]
        for event in events:
            event.lost = fact
        self._settled(events)

    def _settled(self, events: list[EventLife]) -> None:
        for event in events:
            self._open.pop(event.id, None)
            self._done_with(event.request)

    def _done_with(self, life: RequestLife) -> None:
        """Let go of a request that nobody will ask about."""
        if self._unbilled_only and life.billed and life.ended is not None:
            self.requests.pop(life.id, None)
