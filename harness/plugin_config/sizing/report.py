"""Advice as text for people and as JSON for programs."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import msgspec

from plugin_emulator.metering_and_billing.config import config_schema

from ..formats.yaml_text import yaml_text
from .advisor import Advice, notes
from .assessment import Assessment
from .causes import causes
from .proposal import Change, changed_block
from .quantities import bytes_text, duration_text, plain_number, rate_text, setting_text
from .runs import OutageFigures
from .workload import OutageKind, Workload, capacity

_KINDS = {
    OutageKind.REFUSED: "refused at once",
    OutageKind.STATUS: "answered with an error",
    OutageKind.HANG: "hanging until the timeout",
}


def report_text(advice: Advice, gateway: str) -> str:
    """Return the advice as lines of text, for parameters that a gateway of that version has."""
    sections = [
        _traffic(advice.workload),
        _table(advice),
        _listed("why", causes(advice.given, advice.workload)),
        _listed("not attained", list(advice.shortfalls)),
        _listed("changes", [_change(change) for change in advice.changes]),
        _listed("shown by simulation", list(_shown(advice))),
        _listed("notes", notes(advice)),
    ]
    block = changed_block(advice.changes)
    if block:
        sections.append(yaml_text({"queue": block}).rstrip().splitlines())
    return "\n\n".join("\n".join(lines) for lines in sections if lines) + "\n"


def _traffic(workload: Workload) -> list[str]:
    shared = f" shared by {workload.workers:,} workers, {rate_text(workload.rate)}/s in each"
    kinds = " or ".join(_KINDS[kind] for kind in workload.kinds)
    return [
        f"traffic  {rate_text(workload.rps)} events/s of {bytes_text(workload.event_bytes)}"
        f"{shared if workload.workers > 1 else ', one worker'}; a POST takes {duration_text(workload.rtt)}",
        f"outage   {duration_text(workload.outage)}, POSTs {kinds} ({duration_text(workload.timeout)})"
        if OutageKind.HANG in workload.kinds
        else f"outage   {duration_text(workload.outage)}, POSTs {kinds}",
    ]


def _change(change: Change) -> str:
    return f"{change.name} {setting_text(change.given)} -> {setting_text(change.advised)}: {change.reason}."


def _listed(title: str, sentences: list[str]) -> list[str]:
    return [f"{title}:", *(f"  - {sentence}" for sentence in sentences)] if sentences else []


def _shown(advice: Advice) -> Iterator[str]:
    last = advice.advised or advice.given
    which = "advised" if advice.advised else "given"
    asked = duration_text(advice.workload.outage)
    if last.loses_nothing:
        kinds = len(advice.workload.kinds)
        starts = last.outages // kinds
        yield (
            f"the {which} settings lose nothing in {last.outages} outages of {asked}: {_count(kinds, 'kind')}, "
            f"{_count(starts, 'instant')} of beginning, the worst among them."
        )
        longest = advice.survives
        if longest is not None and longest > advice.workload.outage:
            yield f"margin: nor in an outage of {duration_text(longest)}."
        elif advice.given_is_enough:
            most = last.outage.peak_entries / last.settings.max_entries
            if last.settings.concurrency_limit == 1:
                yield f"at most {most:.0%} of max_entries are in use; no margin was asked of the given settings."
    elif advice.advised:
        yield f"with the advised settings the outage of {asked} still loses {last.outage.lost_events:,} events."
        if advice.survives is not None:
            yield f"an outage of {duration_text(advice.survives)} loses nothing with them: the longest possible."
    if advice.workers_needed is not None:
        yield (
            f"with {advice.workers_needed:,} workers that share the traffic evenly there are settings that lose "
            f"nothing in {asked}: run this again with --workers {advice.workers_needed}."
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _table(advice: Advice) -> list[str]:
    assessments = [advice.given, *([advice.advised] if advice.advised else [])]
    titles = ["given", "advised"][: len(assessments)]
    rows: list[tuple[str, list[str]]] = [("one worker's queue", titles)]
    rows += [(f"  {each.name}", [setting_text(each.given), setting_text(each.advised)]) for each in advice.changes]
    rows.append(("steady traffic", [""] * len(titles)))
    rows += _rows(
        assessments,
        {
            "POSTs/s": lambda each: rate_text(each.steady.posts),
            "lost/s": lambda each: rate_text(sum(each.steady.lost.values())) if each.steady.lost else "none",
            "delay, mean": lambda each: duration_text(each.steady.mean_delay) if each.steady.posts else "-",
            "delay, at most": lambda each: duration_text(each.steady.max_delay) if each.steady.posts else "-",
        },
    )
    lasts = duration_text(advice.workload.outage)
    rows.append((f"outage of {lasts}", [f"({each.outage.kind})" for each in assessments]))
    rows += _rows(
        assessments,
        {
            "events until drained": lambda each: f"{each.outage.arrived:,}",
            "delivered": lambda each: f"{each.outage.delivered:,}",
            "still waiting": lambda each: f"{_waiting(each.outage):,}",
            "lost": lambda each: f"{each.outage.lost_events:,}" if each.outage.lost else "none",
        },
    )
    for reason in sorted({reason for each in assessments for reason in each.outage.lost}):
        rows.append((f"    {reason}", [f"{each.outage.lost.get(reason, 0):,}" for each in assessments]))
    rows += _rows(
        assessments,
        {
            "waiting, at most": lambda each: f"{each.outage.peak_entries:,}",
            "memory, at most": lambda each: bytes_text(each.outage.held * advice.workload.event_bytes),
            "delay, mean": lambda each: duration_text(each.outage.mean_delay) if each.outage.delivered else "-",
            "delay, at most": lambda each: duration_text(each.outage.max_delay) if each.outage.delivered else "-",
            "drained": lambda each: _drained(each.outage),
        },
    )
    rows = [row for row in rows if not (row[0] == "  still waiting" and set(row[1]) == {"0"})]
    first = max(len(name) for name, _ in rows) + 2
    column = max(len(cell) for _, cells in rows for cell in cells) + 2
    return [f"{name:<{first}}{''.join(f'{cell:<{column}}' for cell in cells)}".rstrip() for name, cells in rows]


def _rows(assessments: list[Assessment], figures: dict[str, Any]) -> list[tuple[str, list[str]]]:
    return [(f"  {name}", [figure(each) for each in assessments]) for name, figure in figures.items()]


def _waiting(outage: OutageFigures) -> int:
    return outage.arrived - outage.delivered - outage.lost_events


def _drained(outage: OutageFigures) -> str:
    if outage.drained_after is None:
        return f"not within {duration_text(outage.watched)}"
    return f"{duration_text(outage.drained_after)} after it"


def report_json(advice: Advice, gateway: str) -> dict[str, Any]:
    """Return the advice as one JSON object. Times are seconds, sizes bytes; figures are of one worker's queue.

    ``workload``
        the question: ``rps``, ``workers``, ``rate`` (of one worker), ``rtt``, ``outage``, ``event_bytes``,
        ``timeout``, ``kinds``, ``delay_budget``.
    ``given_is_enough``
        whether the given settings lose nothing and keep the delay budget.
    ``given``, ``advised`` (null when there is nothing to advise)
        ``settings`` in full, ``loses_nothing``, ``within_delay_budget``, ``capacity`` (events a second; null: no
        limit), ``steady`` (``posts`` and ``lost`` by reason, a second; ``peak_entries``, ``mean_delay``,
        ``max_delay``), ``outage`` (the worst simulated: ``kind``, ``start``, counts, ``lost`` by reason,
        ``peak_entries``, ``held``, ``memory``, delays, ``drained_after`` from its end or null, ``watched``),
        ``simulated_outages``, and ``causes`` of loss, one sentence each.
    ``changes``, ``queue``
        each changed parameter with its reason, and the block to paste.
    ``survives``
        longest outage simulated, with every kind, without a loss, by the advised settings (the given ones, when they
        are enough); null when there is none.
    ``workers_needed``, ``shortfalls``, ``notes``
        number of workers that makes it possible, or null; what is not attained; what the figures rest on.
    """
    workload = dataclasses.asdict(advice.workload)
    kinds = [str(kind) for kind in advice.workload.kinds]
    return {
        "gateway": gateway,
        "workload": {**workload, "kinds": kinds, "rate": advice.workload.rate},
        "given_is_enough": advice.given_is_enough,
        "given": _assessment_json(advice.given, advice.workload, gateway),
        "advised": advice.advised and _assessment_json(advice.advised, advice.workload, gateway),
        "changes": [dataclasses.asdict(change) for change in advice.changes],
        "queue": changed_block(advice.changes),
        "survives": advice.survives,
        "workers_needed": advice.workers_needed,
        "shortfalls": list(advice.shortfalls),
        "notes": notes(advice),
    }


def _assessment_json(assessment: Assessment, workload: Workload, gateway: str) -> dict[str, Any]:
    known = config_schema(gateway).definition["properties"]["queue"]["properties"]
    settings = msgspec.structs.asdict(assessment.settings)
    most = capacity(assessment.settings, workload.rtt)
    outage = assessment.outage
    named = [each.name for each in dataclasses.fields(outage) if each.name not in ("curve", "kind")]
    figures = {name: getattr(outage, name) for name in named}
    return {
        "settings": {
            name: value if value is None else plain_number(value) for name, value in settings.items() if name in known
        },
        "loses_nothing": assessment.loses_nothing,
        "within_delay_budget": assessment.is_within(workload.delay_budget),
        "capacity": most if math.isfinite(most) else None,
        "steady": dataclasses.asdict(assessment.steady),
        "outage": {"kind": str(outage.kind), **figures, "memory": outage.held * workload.event_bytes},
        "simulated_outages": assessment.outages,
        "causes": causes(assessment, workload),
    }
