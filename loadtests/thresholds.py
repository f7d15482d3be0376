"""What a load may cost before it counts as failed: limits, and the verdict on each."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import Any, Self

from harness.plugin_config.sizing.quantities import duration_text, rate_text

_FORM = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)\s*(?P<percent>%?)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many of a whole are allowed: a number of them, or a ``share`` (0 to 1)."""

    number: int = 0
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what ``7`` or ``0.1%`` allows. Raises ValueError."""
        form = _FORM.fullmatch(text.strip())
        if form is None:
            raise ValueError(f"{text!r} is no allowance: write a number such as 0, or a share such as 0.1%")
        if form["percent"]:
            share = float(form["number"]) / 100
            if share > 1:
                raise ValueError(f"{text!r} is more than 100%")
            return cls(share=share)
        if "." in form["number"]:
            raise ValueError(f"{text!r} is no whole number; a share is written with %")
        return cls(int(form["number"]))

    def of(self, whole: int) -> int:
        """Return how many of ``whole`` are allowed."""
        return self.number if self.share is None else math.floor(whole * self.share)

    def __str__(self) -> str:
        return f"{self.number:,}" if self.share is None else _percent(self.share)


def parse_share(text: str) -> float:
    """Return ``5%`` or ``0.05`` as a ratio; only one in percent may be above 1. Raises ValueError."""
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise ValueError(f"{text!r} is no share: write e.g. 5%")
    number = float(form["number"])
    if form["percent"]:
        return number / 100
    if number >= 1:
        raise ValueError(f"{text!r} is no share: write {form['number']}%, or a ratio below 1 such as 0.05")
    return number


@dataclass(frozen=True, slots=True)
class LeastRate:
    """How much has to be sent: requests a second over the whole run, or a ``share`` (0 to 1) of those due."""

    rate: float = 0.0
    share: float | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return what ``450`` or ``95%`` asks for. Raises ValueError."""
        form = _FORM.fullmatch(text.strip())
        if form is None:
            raise ValueError(f"{text!r} is no rate: write requests a second such as 450, or a share such as 95%")
        number = float(form["number"])
        if not form["percent"]:
            return cls(number)
        if number > 100:
            raise ValueError(f"{text!r} is more than 100%")
        return cls(share=number / 100)

    def judge(self, rate: float | None, share: float | None) -> Verdict:
        """Return the verdict on what was sent: requests a second, and the share of those due; None: nobody knows."""
        if self.share is None:
            seen = "not known" if rate is None else f"{rate_text(rate)} a second"
            kept = rate is not None and rate >= self.rate
            return Verdict("--min-rate", _decimal(self.rate), "sent", f"{rate_text(self.rate)} a second", seen, kept)
        seen = "not known" if share is None else f"{math.floor(share * 1000) / 10:g}%"
        kept = share is not None and share >= self.share
        about = "sent of the requests that were due"
        return Verdict("--min-rate", _percent(self.share), about, _percent(self.share), seen, kept)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The limits of a run. Latencies in seconds; None: not judged.

    ``max_loss`` is of the events that were due, lost although no rule allows it. ``max_duplicates`` counts events
    charged twice, which is with a new id: the same id again is what a lost answer brings about (DLV-2), and a billing
    endpoint keeps one. ``max_unanswered`` counts requests whose answer was not the expected one, or that got
    none, although the gateway was not being restarted. ``max_overhead`` is how much longer clients wait while the
    ingest endpoint hangs (DLV-5). ``min_rate`` is of what was sent: a run that sent less proves less.
    """

    max_loss: Allowance = Allowance()
    max_duplicates: Allowance = Allowance()
    max_wrong: Allowance = Allowance()
    max_undropped: Allowance = Allowance()
    max_unanswered: Allowance = Allowance()
    max_billing_latency_p99: float | None = None
    max_overhead: float | None = None
    min_rate: LeastRate | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a run gave, as far as it is judged. ``due`` is how many events were to be billed.

    ``billed_though_dropped`` are requests, and events that belong to no request.

    ``billable`` requests have events when they are answered as expected; ``unanswered`` requests were not.
    ``billing_latency_p99`` is None when nothing was billed, ``overhead`` when it was not measured. ``rate`` is in
    requests a second; ``sent_share`` is what was sent of the requests that were due (0 to 1), None when nobody knows.
    """

    requests: int
    due: int
    lost_not_allowed: int
    charged_twice: int
    wrong: int
    billed_though_dropped: int
    unanswered: int
    billable: int
    billing_latency_p99: float | None = None
    overhead: float | None = None
    rate: float | None = None
    sent_share: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One limit, and if it was kept; ``limit`` and ``seen`` are for people.

    ``option`` and ``argument`` are as on the command line.
    """

    option: str
    argument: str
    about: str
    limit: str
    seen: str
    kept: bool

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as JSON data."""
        return {
            "option": self.option,
            "argument": self.argument,
            "about": self.about,
            "limit": self.limit,
            "seen": self.seen,
            "kept": self.kept,
        }


def judge(thresholds: Thresholds, measured: Measured) -> tuple[Verdict, ...]:
    """Return a verdict for each limit that is set. What could not be measured has not been kept."""
    limits, due, requests = thresholds, measured.due, measured.requests
    verdicts = [
        _count("--max-loss", "lost, and no rule allows it", limits.max_loss, due, measured.lost_not_allowed),
        _count("--max-duplicates", "charged twice", limits.max_duplicates, due, measured.charged_twice),
        _count("--max-wrong", "wrong subject or field", limits.max_wrong, due, measured.wrong),
        _count(
            "--max-undropped",
            "billed though to be dropped, or for nothing",
            limits.max_undropped,
            requests,
            measured.billed_though_dropped,
        ),
        _unanswered(limits.max_unanswered, measured),
    ]
    if (latency := thresholds.max_billing_latency_p99) is not None:
        p99 = measured.billing_latency_p99
        seen = "nothing was billed" if p99 is None else duration_text(p99)
        kept = p99 is not None and p99 <= latency
        verdicts.append(
            Verdict(
                "--max-billing-latency-p99",
                f"{_decimal(latency)}s",
                "billing latency, p99",
                duration_text(latency),
                seen,
                kept,
            )
        )
    if (overhead := thresholds.max_overhead) is not None:
        ratio = measured.overhead
        seen = "not measured" if ratio is None else f"{ratio * 100:.1f}%"
        kept = ratio is not None and ratio <= overhead
        about = "longer for clients while ingest hangs"
        verdicts.append(Verdict("--max-overhead", _percent(overhead), about, _percent(overhead), seen, kept))
    if limits.min_rate is not None:
        verdicts.append(limits.min_rate.judge(measured.rate, measured.sent_share))
    return tuple(verdicts)


def _unanswered(allowance: Allowance, measured: Measured) -> Verdict:
    """Judge the answers. A run that billing was asked of and in which nothing fell due has tested nothing."""
    verdict = _count(
        "--max-unanswered", "not answered as expected", allowance, measured.requests, measured.unanswered
    )
    if measured.due or not measured.billable:
        return verdict
    return replace(verdict, about="not answered as expected; not a single event was due", kept=False)


def _count(option: str, about: str, allowance: Allowance, whole: int, seen: int) -> Verdict:
    argument = str(allowance.number) if allowance.share is None else _percent(allowance.share)
    return Verdict(option, argument, about, str(allowance), f"{seen:,}", seen <= allowance.of(whole))


def _percent(share: float) -> str:
    return f"{_decimal(share * 100)}%"


def _decimal(number: float) -> str:
    """Return a number as the command line takes it: without an exponent, to a trillionth."""
    return f"{number:.12f}".rstrip("0").rstrip(".")
