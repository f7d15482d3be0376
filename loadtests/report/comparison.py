"""What changed between two runs of one plan, and whether that is for the better."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.plugin_config.sizing.quantities import duration_text, rate_text
from loadtests.classification import MEANINGS
from loadtests.report.trend import Trend, TrendEntry

Judgement = Literal["better", "worse", "same", ""]

#: A change of a rate, a latency or a number of POSTs by less than this part is what two runs differ by anyway.
NOISE = 0.05
#: So many runs are shown beside each other, this one among them.
MOST_SHOWN = 20

_BAD = ("billed_though_dropped", "missing", "duplicated_new_id", "wrong", "duplicated_same_id", "late")
#: Those of which a single one is news.
_EXACT = frozenset({"billed_though_dropped", "duplicated_new_id", "wrong"})


@dataclass(frozen=True, slots=True)
class Change:
    """One measure in both runs, for people; ``judgement`` is empty where more is neither good nor bad."""

    name: str
    before: str
    now: str
    change: str
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run beside the earlier ones it may be compared with, the last one last; ``others`` are of other series."""

    entry: TrendEntry
    earlier: Sequence[TrendEntry]
    others: int
    passed_over: int = 0

    @classmethod
    def of(cls, entry: TrendEntry, trend: Trend) -> Comparison:
        """Compare ``entry`` with the runs of ``trend``."""
        others = sum(each.series != entry.series for each in trend.entries)
        return cls(entry, trend.before(entry), others, trend.passed_over)

    @property
    def runs(self) -> list[TrendEntry]:
        """The last runs and this one, in order."""
        return [*self.earlier[-(MOST_SHOWN - 1) :], self.entry]

    @property
    def heading(self) -> str:
        """What is compared, or why nothing is, in a sentence."""
        if not self.earlier:
            others = f" (of others: {self.others:,})" if self.others else ""
            return f"No earlier run of this plan and target to compare with{others}."
        last = self.earlier[-1]
        words = f"Against run {last.run} of {last.at} (earlier runs of this plan and target: {len(self.earlier):,})."
        moved = ", ".join(self._moved(last))
        return f"{words} Not the same as then: {moved}." if moved else words

    def changes(self) -> list[Change]:
        """Return the measures of both runs; nothing when there is no earlier one."""
        return list(_changes(self.earlier[-1], self.entry)) if self.earlier else []

    def _moved(self, last: TrendEntry) -> Iterator[str]:
        """Yield what else was different, which may be the reason for anything."""
        now = self.entry.surroundings
        for name in sorted({*last.surroundings, *now}):
            before, after = last.surroundings.get(name), now.get(name)
            if before != after:
                yield f"{name.replace('_', ' ')} ({before} → {after})"


def _changes(before: TrendEntry, now: TrendEntry) -> Iterator[Change]:
    yield _measured("requests a second", (before.achieved, now.achieved), rate_text, more_is="better")
    for name in ("p50", "p90", "p99", "p99.9", "max"):
        latencies = before.billing_latency_seconds.get(name), now.billing_latency_seconds.get(name)
        yield _measured(f"billing latency {name}", latencies, duration_text, more_is="worse")
    for name in MEANINGS:
        counts = before.classes.get(name, 0), now.classes.get(name, 0)
        if any(counts):
            more_is: Judgement = "worse" if name in _BAD else ""
            noise = 0.0 if name in _EXACT else NOISE
            yield _measured(name.replace("_", " "), counts, _whole, more_is=more_is, noise=noise)
    lost = before.lost_not_allowed, now.lost_not_allowed
    yield _measured("lost, no rule allows it", lost, _whole, more_is="worse", noise=0.0)
    earlier, later = before.batches, now.batches
    yield _measured("events in a POST", (earlier.mean, later.mean), "{:.1f}".format)
    yield _measured("POSTs", (earlier.posts, later.posts), _whole)
    yield _measured("POSTs failed", (earlier.failed, later.failed), _whole)
    yield _measured("POSTs retried", (earlier.retries, later.retries), _whole)
    if before.overhead is not None or now.overhead is not None:
        yield _overhead(before.overhead, now.overhead)


def _measured(
    name: str,
    values: tuple[float | None, float | None],
    words: Callable[[float], str],
    *,
    more_is: Judgement = "",
    noise: float = NOISE,
) -> Change:
    before, now = values
    if before is None or now is None:
        return Change(name, _or_dash(before, words), _or_dash(now, words), "", "")
    if before:
        part = now / before - 1
        change = f"{part * 100:+.1f}%"
    else:
        part = float("inf") if now else 0.0
        change = f"+{words(now)}" if now else ""
    return Change(name, words(before), words(now), change, _judged(part, more_is, noise))


def _overhead(before: float | None, now: float | None) -> Change:
    """Compare overheads: they are ratios already, and what counts is the difference, in points."""
    name = "overhead while ingest hangs"
    said = _or_dash(before, "{:.1%}".format), _or_dash(now, "{:.1%}".format)
    if before is None or now is None:
        return Change(name, *said, "", "")
    return Change(name, *said, f"{(now - before) * 100:+.1f} points", _judged(now - before, "worse", NOISE))


def _or_dash(value: float | None, words: Callable[[float], str]) -> str:
    return "–" if value is None else words(value)


def _judged(part: float, more_is: Judgement, noise: float) -> Judgement:
    if not more_is:
        return ""
    if abs(part) <= noise:
        return "same"
    other: Judgement = "worse" if more_is == "better" else "better"
    return more_is if part > 0 else other


def _whole(number: float) -> str:
    return f"{number:,.0f}"
