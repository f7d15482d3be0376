"""A run of the suite as its stream of events, made up: for tests of the reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from harness.conformance.deliveries import Deliveries, Lost, Try
from harness.conformance.matching import Difference
from harness.conformance.outcome import Event, Failure, Report, RunFinished, RunStarted, ScenarioFinished, Verdict
from harness.conformance.rules import rules_of

R = TypeVar("R", bound=Report)

#: What would break out of text, attribute, script, comment, cell, code block and terminal if it could.
HOSTILE = (
    "</script><script>document.title='broken out'</script><img src=x onerror=\"document.title='broken out'\">"
    "'\"><svg onload=alert(1)>--><!-- ]]> </style></details></pre></summary> ```\n| a | b |\n$style ${script} "
    "`x` **bold** [link](javascript:alert(1)) &lt; &amp; \x00\x1b[31m\u202etxet \ud800"
)


def scenario(name: str, verdict: Verdict, *rules: str, **given: Any) -> ScenarioFinished:
    """Return a finished scenario; ``given`` are fields of it that matter to the test."""
    fields: dict[str, Any] = {
        "id": name,
        "title": f"What {name} is about",
        "file": f"/scenarios/drop/{name}.yaml",
        "group": "drop",
        "rules": rules,
        "verdict": verdict,
        "seconds": 0.25,
        "requests": {"one": "curl -i http://localhost:8000/one", "two": "curl -i http://localhost:8000/two"},
        "timeline": ["+  0.100 s  object of 1 event"],
        "reproduce": f"kong-metering conformance --scenario {name}",
    }
    return ScenarioFinished(**{**fields, **given})


BROKEN = Failure(
    ("DRP-1",),
    "an event is not as expected",
    [Difference("subject", "absent", "'unknown|`<b>'")],
    {"of": "two", "subject": {"absent": True}},
    {"id": "e-1", "subject": "unknown"},
    "two",
)

RETRIED = Deliveries(
    tries=[
        Try(at=1.0, status=503, events=2, shape="array", lane="main", batch=1, number=0, entered=(0.0, 0.4)),
        Try(at=1.2, status=None, events=2, shape="array", lane="main", batch=1, number=1, entered=(0.0, 0.4)),
        Try(at=1.3, status=202, events=2, shape="array", lane="main", batch=1, number=2, entered=(0.0, 0.4)),
    ],
    lost=[Lost(2.0, "e9", "overflow_entries")],
    queues={"main": {"max_batch_size": 10, "max_coalescing_delay": 1, "initial_retry_delay": 0.2}},
)

SCENARIOS = (
    scenario("good", Verdict.PASS, "DRP-1", "SUB-2"),
    scenario("bad", Verdict.FAIL, "DRP-1", "DRP-3", failures=(BROKEN,), deliveries=RETRIED),
    scenario("odd", Verdict.FINDING, "DRP-2", failures=(Failure(("DRP-2",), "dropped otherwise"),)),
    scenario("other", Verdict.SKIP, "CND-1", reason="holds for kong-3.14"),
)


def stream(scenarios: Sequence[ScenarioFinished] = SCENARIOS, strict: bool = False) -> list[Event]:
    """Return the events of a run of ``scenarios``."""
    started = RunStarted("emulator", "kong-3.16", "0.1.0", rules_of("kong-3.16"), len(scenarios), strict)
    return [started, *scenarios, RunFinished(1.5)]


def hostile() -> ScenarioFinished:
    """Return a failing scenario in which every text that may come from outside is hostile."""
    failure = Failure(
        ("DRP-1",),
        f"message {HOSTILE}",
        [Difference(f"field {HOSTILE}", f"expected {HOSTILE}", f"received {HOSTILE}")],
        {"subject": HOSTILE},
        {"subject": HOSTILE, HOSTILE: [HOSTILE]},
        "two",
    )
    tries = [Try(0.5, None, 1, HOSTILE, HOSTILE, 1, 0, entered=(0.1,))]
    return scenario(
        f"id {HOSTILE}",
        Verdict.FAIL,
        "DRP-1",
        title=f"title {HOSTILE}",
        reason=f"reason {HOSTILE}",
        failures=(failure,),
        requests={"two": f"curl {HOSTILE}"},
        timeline=[f"line {HOSTILE}"],
        reproduce=f"again {HOSTILE}",
        prediction=[Difference(f"field {HOSTILE}", f"predicted {HOSTILE}", f"seen {HOSTILE}")],
        deliveries=Deliveries(tries, [Lost(1.0, HOSTILE, HOSTILE)], {HOSTILE: {HOSTILE: HOSTILE}}),
    )


def feed(report: R, events: Sequence[Event]) -> R:
    """Give the events to the report and return it."""
    for event in events:
        report.take(event)
    return report
