"""Why a request was billed or not: one line for the cause, and the steps that led to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from harness.journal.lives import NOT_FOR_IT, EventLife, QueueLife, RequestLife
from harness.journal.steps import Step, less_specific, steps_of
from harness.journal.waiting import waits_for
from harness.journal.wording import endpoint_trouble, instance_name, scope_of, seconds, subject_place
from plugin_emulator.journal import Ended, Instance, Metered, PassedOver


class Outcome(StrEnum):
    """What became of a request, as far as it is known."""

    BILLED = "billed"
    NOT_BILLED = "not billed"
    LOST = "lost"
    UNDER_WAY = "under way"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a request at one metering plugin; ``rule`` is the SPEC rule behind it, None for a billed one.

    ``plugin`` names the plugin and its instance, "" where no instance is known. ``event`` is the one that it is
    about, None where none was made.
    """

    outcome: Outcome
    cause: str
    rule: str | None = None
    event: EventLife | None = None
    plugin: str = ""

    @property
    def line(self) -> str:
        """Outcome, plugin, cause and rule in one line."""
        return line_of(self.outcome, named(self.plugin, self.cause), self.rule)


@dataclass(frozen=True, slots=True)
class PluginOutcome:
    """What became of a request at one ``plugin``, named with its instance; of several events the worst."""

    plugin: str
    outcome: Outcome
    cause: str
    rule: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """The life of one request (its id).

    ``cause`` is one line; with several plugins it is about the one that decides the ``outcome``, and names it: a loss
    weighs more than a plugin that made no event, that more than an event under way, and that more than a billed one.
    A plugin that is not for the request, by its scope or because it is switched off, weighs least. ``plugins`` has
    the outcome of each, that one first.
    """

    request: str
    outcome: Outcome
    cause: str
    rule: str | None
    steps: tuple[Step, ...]
    plugins: tuple[PluginOutcome, ...] = ()

    @property
    def line(self) -> str:
        """Outcome, cause and rule in one line."""
        return line_of(self.outcome, self.cause, self.rule)


def line_of(outcome: str, cause: str, rule: str | None) -> str:
    """Return outcome, cause and rule in one line."""
    return f"{outcome}: {cause}{f' [{rule}]' if rule else ''}"


def named(plugin: str, cause: str) -> str:
    """Return a cause that says which plugin it is about."""
    return cause if not plugin or plugin in cause else f"{plugin}: {cause}"


_WEIGHT = (Outcome.LOST, Outcome.NOT_BILLED, Outcome.UNDER_WAY, Outcome.BILLED)


def weight_of(outcome: Outcome, rule: str | None) -> int:
    """Return how little an outcome weighs among those of several plugins: the least number decides."""
    meant = outcome is Outcome.NOT_BILLED and rule in NOT_FOR_IT
    return len(_WEIGHT) if meant else _WEIGHT.index(outcome)


def explain_life(
    life: RequestLife, queues: dict[str, QueueLife], now: float, told: float | None = None
) -> Explanation:
    """Explain a request as it stands at ``now`` (seconds since the epoch); ``queues`` are by instance.

    ``told`` is the time of the journal's last line, None when facts are told as they happen.
    """
    verdicts = verdicts_of(life, queues, now, told)
    verdicts.sort(key=lambda verdict: weight_of(verdict.outcome, verdict.rule))
    worst: dict[str, Verdict] = {}
    for verdict in verdicts:
        worst.setdefault(verdict.plugin, verdict)
    decisive = verdicts[0]
    cause = named(decisive.plugin, decisive.cause) if len(worst) > 1 else decisive.cause
    plugins = tuple(PluginOutcome(each.plugin, each.outcome, each.cause, each.rule) for each in worst.values())
    return Explanation(life.id, decisive.outcome, cause, decisive.rule, tuple(steps_of(life)), plugins)


def verdicts_of(
    life: RequestLife, queues: dict[str, QueueLife], now: float, told: float | None = None
) -> list[Verdict]:
    """Return what became of a request at each metering plugin, of each of its events; at least one."""
    verdicts: list[Verdict] = []
    for each in life.metered:
        events = [event for event in life.events if event.instance == each.instance]
        if events:
            of_events = [replace(_of_event(event, life, each, queues, now, told), event=event) for event in events]
        else:
            of_events = [Verdict(Outcome.NOT_BILLED, _drop(each, life) + _in_place_of(each, life), each.rule)]
        verdicts += [replace(verdict, plugin=_name(each.instance, life)) for verdict in of_events]
    for failed in life.not_built:
        cause = f"the plugin has a defect: it could not build an event of the request ({failed.problem})"
        verdicts.append(Verdict(Outcome.NOT_BILLED, cause, plugin=_name(failed.instance, life)))
    if life.ended is not None:
        verdicts += [_passed_over(each, life) for each in life.ended.passed_over]
        verdicts += [_untouched(each, life) for each in life.ended.instances if each not in life.told_by]
    if not verdicts:
        if life.ended is None:
            return [Verdict(Outcome.UNDER_WAY, "the request is not answered yet")]
        return [Verdict(Outcome.NOT_BILLED, "no metering plugin is configured", "FLT-1")]
    return verdicts


def _name(instance_id: str, life: RequestLife) -> str:
    instance = life.instances.get(instance_id)
    return f"plugin {instance_id}" if instance is None else instance_name(instance)


def _passed_over(passed_over: PassedOver, life: RequestLife) -> Verdict:
    instance = life.instances.get(passed_over.instance or "")
    cause = passed_over.reason
    if instance is not None and instance.condition is not None and passed_over.rule in ("FLT-6", "CND-3"):
        cause = f"{cause} for this request: {instance.condition} ({instance_name(instance)})"
    if life.ended is not None and life.ended.near_route is not None:
        cause = f"{cause}; {life.ended.near_route}"
    name = passed_over.plugin if instance is None else instance_name(instance)
    return Verdict(Outcome.NOT_BILLED, cause, passed_over.rule, plugin=name)


def _untouched(instance_id: str, life: RequestLife) -> Verdict:
    """A plugin whose turn it would have been has told nothing."""
    instance = life.instances.get(instance_id)
    assert life.ended is not None
    if instance is not None and "access" in instance.phases:
        cause = f"the gateway answered {life.ended.status} itself before the turn of {instance_name(instance)}"
        return Verdict(Outcome.NOT_BILLED, cause, "AMB-5", plugin=instance_name(instance))
    cause = "the request is answered and about to be metered"
    return Verdict(Outcome.UNDER_WAY, cause, plugin=_name(instance_id, life))


def _drop(metered: Metered, life: RequestLife) -> str:
    """Return why an instance made no event, with what of the request and the configuration shows it."""
    instance = life.instances.get(metered.instance)
    reason, subject, ended = metered.reason or "it made no event", metered.subject, life.ended
    if metered.rule == "FLT-4" and instance is not None:
        ranges = instance.settings.get("allow_status_codes") or ()
        shown = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)
        return f"{reason} ({shown})"
    if metered.rule == "EVT-10" and ended is not None and ended.no_usage is not None:
        return f"only AI tokens are metered, and {ended.no_usage}"
    if subject.elsewhere is not None:
        kind = "header" if subject.elsewhere == "header" else "query parameter"
        return f"{reason}, but there is a {kind} of that name"
    if subject.near is not None:
        return f"{reason}, but a similar one: {subject.near!r}"
    if metered.rule == "DRP-2":
        times = f" {subject.times} times, the first one" if subject.times > 1 else ", but"
        return f"the {subject_place(subject)} is in the request{times} empty"
    if metered.rule == "DRP-1" and subject.look_up_value_in == "consumer" and ended is not None:
        return _no_consumer(reason, subject.field or "username", ended)
    return reason


def _in_place_of(metered: Metered, life: RequestLife) -> str:
    """Return which instance had its turn, where less specific ones would fit, too."""
    instance = life.instances.get(metered.instance)
    others = less_specific(instance, life)
    if instance is None or not others:
        return ""
    names = " and ".join(each.instance_name or each.id for each in others)
    return f" ({instance_name(instance)} {scope_of(instance)}, which runs here in the place of {names})"


def _no_consumer(reason: str, wanted: str, ended: Ended) -> str:
    if ended.consumer is not None:
        whose = "the anonymous Consumer" if ended.anonymous else "the Consumer"
        without_key = ": key-auth found no valid API key in it" if ended.anonymous else ""
        name = ended.consumer.name or ended.consumer.id
        return f"the request ran as {whose} {name!r}, which has no {wanted}{without_key}"
    if ended.unauthenticated is not None:
        return f"{reason}: {ended.unauthenticated}"
    if ended.upstream_status is None:
        return f"{reason}: the gateway answered {ended.status} itself"
    return f"{reason}: no authentication plugin ran for the request"


def _of_event(
    event: EventLife,
    life: RequestLife,
    metered: Metered,
    queues: dict[str, QueueLife],
    now: float,
    told: float | None,
) -> Verdict:
    instance = life.instances.get(event.instance)
    if event.lost is not None:
        return _lost(event, instance)
    if event.batch is not None and event.batch.delivered:
        return Verdict(Outcome.BILLED, _billed(event, life, metered))
    return Verdict(Outcome.UNDER_WAY, *waits_for(event, instance, queues.get(event.instance), now, told))


def _lost(event: EventLife, instance: Instance | None) -> Verdict:
    assert event.lost is not None
    cause = event.lost.reason
    if event.batch is not None and event.batch.latest:
        last = event.batch.latest[-1]
        tries = "1 try" if last.number == 1 else f"{last.number} tries in {seconds(last.at - event.batch.formed_at)}"
        cause = f"{cause}, {tries}: {endpoint_trouble(last, event.batch.tried_by(last) or instance)}"
    elif event.lost.rule == "CAP-1" and instance is not None:
        cause = f"{cause} (max_entries {instance.settings['queue']['max_entries']:,})"
    elif event.lost.rule == "CAP-2" and instance is not None:
        cause = f"{cause} (max_bytes {instance.settings['queue']['max_bytes']:,})"
    return Verdict(Outcome.LOST, cause, event.lost.rule)


def whom_of(life: RequestLife, metered: Metered) -> str:
    """Return whom an instance bills a request to."""
    whom = f"to {metered.subject.value!r}" if metered.subject.value else "as configured"
    anonymous = life.ended is not None and life.ended.anonymous and metered.subject.look_up_value_in == "consumer"
    if anonymous:
        whom += ", the anonymous Consumer: key-auth found no valid API key in the request"
    return whom


def _billed(event: EventLife, life: RequestLife, metered: Metered) -> str:
    assert event.batch is not None
    last = event.batch.latest[-1]
    tries = "" if last.number == 1 else f" at try {last.number}"
    after = seconds(last.at - event.queued_at)
    return f"{whom_of(life, metered)}; delivered{tries} {after} after the answer"
