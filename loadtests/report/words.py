"""What a report says in words and numbers, for every form that shows it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness.plugin_config.sizing.quantities import bytes_text, duration_text, rate_text
from loadtests.classification import MEANINGS
from loadtests.report.recorded import RecordedReport

Tone = Literal["good", "notable", "bad"]

_GOOD = ("billed_once", "dropped_right", "rejected_unbilled")
_NOTABLE = ("late", "duplicated_same_id", "unknown_billed", "unknown_unbilled")
_LATENCIES = ("min", "p50", "p90", "p99", "p99.9", "max")


@dataclass(frozen=True, slots=True)
class ClassCount:
    """Requests of one class; ``share`` is of all requests (0 to 1)."""

    name: str
    count: int
    share: float
    meaning: str
    tone: Tone


def title(report: RecordedReport) -> str:
    """Return what the report is about."""
    where = report.document["surroundings"]
    return f"Load on {where['target']}, gateway {where['gateway_version']}"


def headline(report: RecordedReport) -> str:
    """Return the verdict in a sentence, with the limits that were broken."""
    broken = [verdict for verdict in report.document["verdicts"] if not verdict["kept"]]
    if not broken:
        return f"All {len(report.document['verdicts'])} limits were kept."
    named = "; ".join(f"{one['option']} {one['limit']}: {one['seen']} {one['about']}" for one in broken)
    return f"{len(broken)} of {len(report.document['verdicts'])} limits broken: {named}."


def facts(report: RecordedReport) -> dict[str, str]:
    """Return what was tested, by what, on what."""
    where = report.document["surroundings"]
    own = "Kong's own plugin" if where["genuine"] else "not Kong's own plugin"
    if where["genuine"] and where["target"] == "url":
        own = "taken for Kong's own plugin"  # who runs it did not say, and nothing there tells otherwise
    return {
        "Run": report.document["run"],
        "Date": report.date.isoformat(timespec="seconds"),
        "Target": f"{where['target']} ({own})",
        "Gateway": where["gateway_version"],
        "Plugin": report.document["plan"].get("plugin", ""),
        "Machine": f"{where['system']}, {where['processors']} processors",
        "By": f"kong-metering {where['harness_version']}, locust {where['locust_version']}, "
        f"Python {where['python_version']}",
    }


def figures(report: RecordedReport) -> Iterator[tuple[str, str]]:
    """Yield the main figures: a name, and what there is to say."""
    document, account = report.document, report.account
    asked, achieved = document["rate"]["asked"], document["rate"]["achieved"]
    wish = "as fast as it goes" if asked == 0 else f"{rate_text(asked)} a second asked"
    seconds = duration_text(report.traffic_seconds)
    yield "requests", f"{account['requests']:,} in {seconds}: {wish}, {rate_text(achieved)} achieved"
    if due := document["rate"].get("due"):
        late = duration_text(document["rate"]["behind_seconds"])
        yield "sent", f"{document['rate']['sent']:,} of {due:,} that were due, at most {late} late"
    if unanswered := account.get("unanswered"):
        during = unanswered - document.get("unanswered", unanswered)
        more = f", {during:,} of them during a restart" if during else ""
        yield "unanswered", f"{unanswered:,} not answered as expected{more}"
    events = account["events"]
    discarded = events.get("missing_discarded", 0)
    more = f"; {discarded:,} of them discarded, because another event has their id" if discarded else ""
    yield "events", f"{events.get('billed', 0):,} billed of {events.get('due', 0):,} that were due{more}"
    if report.latency:
        known = [name for name in ("p50", "p90", "p99", "p99.9", "max") if name in report.latency]
        parts = ", ".join(f"{name} {duration_text(report.latency[name])}" for name in known)
        bound = duration_text(document["billing_latency_bound_seconds"])
        yield "billing latency", f"{parts}; bound of the queue settings {bound}, {events.get('late', 0):,} later"
    posts = account["deliveries"]
    if report.mean_size is not None:
        sizes = f"{report.mean_size:.1f} events each, at most {report.sizes[-1][0]:,}"
        said = f"{posts['requests']:,}, {report.failed_posts:,} failed, {posts['retries']:,} retries"
        yield "POSTs", f"{said}; {sizes}; {bytes_text(posts['bytes'])} in all"
    if not document["drained"]:
        waiting = document["waiting_at_end"]
        more = "" if waiting is None else f": {waiting:,} events waiting"
        yield "not drained", f"the queues were not empty when the wait was over{more}"


def classes(report: RecordedReport) -> list[ClassCount]:
    """Return the classes that have requests, and "billed once" in any case."""
    total = report.account["requests"] or 1
    counts = report.account["classes"]
    return [
        ClassCount(name.replace("_", " "), count, count / total, meaning, _tone(report, name))
        for name, meaning in MEANINGS.items()
        if (count := counts.get(name, 0)) or name == "billed_once"
    ]


def latencies(report: RecordedReport) -> list[tuple[str, float]]:
    """Return the billing latency's percentiles in seconds, in order."""
    return [(name, report.latency[name]) for name in _LATENCIES if name in report.latency]


def losses(report: RecordedReport) -> list[tuple[str, str, str, str, str]]:
    """Return rule, why, predicted, the gateway's own count and seen of each reason for lost events."""
    told = report.document["losses"]
    rows = [
        (
            row["rule"],
            row["about"],
            range_text(row["predicted"]),
            "–" if row["told"] is None else f"{row['told']:,}",
            f"{row['seen']:,}",
        )
        for row in told["allowed"]
    ]
    if told["not_allowed"]:
        rows.append(("none", "no rule allows it", "", "", f"{told['not_allowed']:,}"))
    all_told = "–" if told["told"] is None else f"{sum(told['told'].values()):,}"
    return [*rows, ("all", "", range_text(told["predicted"]), all_told, f"{told['lost']:,}")]


def range_text(predicted: list[int] | None) -> str:
    """Return ``16 – 25``, or one number where both are the same."""
    if predicted is None:
        return "–"
    low, high = predicted
    return f"{low:,}" if low == high else f"{low:,} – {high:,}"


def overhead(report: RecordedReport) -> list[tuple[str, str, str, str]]:
    """Return percentile, client latency while ingest hung and while it did not, and the increase."""
    told = report.document["overhead"]
    if told is None:
        return []
    columns = (told["percentiles"], told["hung_seconds"], told["healthy_seconds"], told["increase"])
    return [
        (f"p{percentile:g}", duration_text(hung), duration_text(healthy), f"{increase * 100:+.1f}%")
        for percentile, hung, healthy, increase in zip(*columns, strict=False)
    ]


def reproduce(report: RecordedReport) -> str:
    """Return the shell commands that run the load again, plan included."""
    where = report.document["surroundings"]
    words = ["kong-metering", "load", "--target", where["target"]]
    if where["target"] == "emulator":
        words += ["--profile", f"kong-{where['gateway_version']}"]
    words += ["--plan", "plan.json"]
    for verdict in report.document["verdicts"]:
        words += [verdict["option"], verdict["argument"]]
    plan = json.dumps(report.plan.to_json(), indent=2)
    return f"cat > plan.json <<'EOF'\n{plan}\nEOF\n{shlex.join(words)}"


def _tone(report: RecordedReport, name: str) -> Tone:
    if name == "missing":
        return "bad" if report.document["losses"]["not_allowed"] else "notable"
    return "good" if name in _GOOD else "notable" if name in _NOTABLE else "bad"
