"""What a recorded run amounts to: planted faults are found, losses told apart, and all of it can be read."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rich.console import Console

import loadtests
from harness.targets.target import Stop
from loadtests.assessment import NoAccountError, assess
from loadtests.numbers import label
from loadtests.overhead import Overhead
from loadtests.plan import LoadPlan
from loadtests.played import PlayedFault, PlayedRestart
from loadtests.progress import progress
from loadtests.queue_model import KongQueue
from loadtests.queue_watch import QueueSample
from loadtests.report.html_sections import examples
from loadtests.report.recorded import RecordedReport
from loadtests.report.words import figures
from loadtests.result import LoadReport, Surroundings
from loadtests.stage import Observed, Progress
from loadtests.summary import print_summary
from loadtests.thresholds import Allowance, LeastRate, Thresholds
from plugin_emulator.queue import QueueSettings
from tests.loadtests.recorded_run import RUN, START, Delivery, Event, Request, api, write_run

SCHEMA = json.loads((Path(loadtests.__file__).parent / "schemas" / "load-report.json").read_text())
WHERE = Surroundings("emulator", "3.16", False, "0.1.0", "2.47.0", "3.11.2", "Linux", 2)
PLAN = LoadPlan.from_json({"rate": 10, "duration": 10, "queue": {"max_batch_size": 10}})
COUNT = 100


def observed(
    *, faults: Sequence[PlayedFault] = (), restarts: Sequence[PlayedRestart] = (), told: Any = None
) -> Observed:
    return Observed(
        run=RUN,
        began_at=START,
        ended_at=START + 10,
        over_at=START + 11,
        drained=True,
        waiting=0,
        told=told,
        round_trip=0.005,
        faults=faults,
        restarts=restarts,
        queue_samples=[QueueSample(START + 1, 5, 10, 2, 0, 0)],
    )


def sent() -> dict[int, list[Request]]:
    """A hundred requests, ten a second, each of which takes a millisecond."""
    return {0: [Request(0, started=n / 10, ended=n / 10 + 0.001) for n in range(COUNT)]}


def arrived(events: Sequence[Event]) -> list[Delivery]:
    """Each event half a second after its request, by itself."""
    return [Delivery((event,), at=event.n / 10 + 0.5) for event in events]


def assessed(
    directory: Path, events: Sequence[Event], thresholds: Thresholds | None = None, **seen: Any
) -> LoadReport:
    write_run(directory, sent(), arrived(events))
    return assess(directory, PLAN, thresholds or Thresholds(), observed(**seen), WHERE, None)


def broken(report: LoadReport) -> list[str]:
    return [verdict.option for verdict in report.verdicts if not verdict.kept]


def text(report: LoadReport) -> str:
    output = io.StringIO()
    print_summary(report, Path("run"), console=Console(file=output, width=140))
    return output.getvalue()


def test_a_run_as_it_should_be_keeps_every_limit(tmp_path: Path) -> None:
    report = assessed(tmp_path, [api(0, n) for n in range(COUNT)], Thresholds(max_billing_latency_p99=0.6))
    assert report.kept
    assert report.achieved_rate == pytest.approx(10)
    assert "predicted and seen" not in text(report)


def test_planted_faults_break_their_limits_and_are_counted_exactly(tmp_path: Path) -> None:
    """Seven events dropped, five delivered again with new ids, three with the same id, two subjects changed."""
    events = [api(0, n) for n in range(7, COUNT)]
    for place in (0, 1):
        events[place] = replace(events[place], subject="mallory")
    again = [api(0, event.n) for event in events[10:15]]
    same = [replace(event, verdict="duplicate") for event in events[20:23]]
    report = assessed(tmp_path, [*events, *again, *same])
    assert {verdict.option: verdict.seen for verdict in report.verdicts} == {
        "--max-loss": "7",
        "--max-duplicates": "5",
        "--max-wrong": "2",
        "--max-undropped": "0",
        "--max-unanswered": "0",
    }
    assert broken(report) == ["--max-loss", "--max-duplicates", "--max-wrong"]
    assert report.found.classes["duplicated_same_id"] == 3
    said = text(report)
    assert f"{RUN}-00000-0000000000" in said and "and 2 more" in said
    assert "no rule allows it" in said
    assert "predicted and seen losses do not agree: 0 predicted, 7 seen" in said


def test_a_limit_that_allows_them_is_kept(tmp_path: Path) -> None:
    events = [api(0, n) for n in range(7, COUNT)]
    assert broken(assessed(tmp_path, events, Thresholds(max_loss=Allowance(7)))) == []


def test_an_event_with_a_number_that_nobody_gave_out_is_billed_to_somebody(tmp_path: Path) -> None:
    events = [api(0, n) for n in range(COUNT + 1)]
    assert broken(assessed(tmp_path, events)) == ["--max-undropped"]


def test_what_another_plugin_bills_beside_the_load_breaks_a_limit_and_is_told_of(tmp_path: Path) -> None:
    events = [api(0, n) for n in range(COUNT)]
    report = assessed(tmp_path, [*events, *(api(0, n, numbered=False) for n in range(3))])
    assert broken(report) == ["--max-undropped"]
    assert "events of no request: 3 without a number (3 accepted)" in text(report)
    assert "unnumbered accepted" in examples(RecordedReport(report.document))


def test_what_another_run_left_behind_breaks_no_limit_and_is_told_of(tmp_path: Path) -> None:
    report = assessed(tmp_path, [*(api(0, n) for n in range(COUNT)), api(0, 0, run="ffffffff")])
    assert broken(report) == []
    assert "events of no request: 1 of another run" in text(report)


@pytest.mark.parametrize(("how", "rule"), [("kill", "LIF-1"), ("fast", "LIF-2")])
def test_what_waited_when_the_gateway_ended_is_allowed_to_be_lost(tmp_path: Path, how: Stop, rule: str) -> None:
    """Ten a second in batches of ten, and the gateway ends at 5.05 s: what came in the last second may be gone."""
    restart = PlayedRestart(how, START + 5.05, START + 5.09)
    gone = range(48, 51)
    report = assessed(tmp_path, [api(0, n) for n in range(COUNT) if n not in gone], restarts=[restart])
    assert [(row.rule, row.seen) for row in report.losses.rows] == [(rule, 3)]
    assert report.kept
    assert rule in text(report)


def test_losses_that_no_rule_allows_are_named_first_and_apart_from_the_others(tmp_path: Path) -> None:
    """Killed at 5.05 s: what came in the second before may be gone, request 90 may not."""
    gone = [*range(48, 51), 90]
    restart = PlayedRestart("kill", START + 5.05, START + 5.09)
    report = assessed(tmp_path, [api(0, n) for n in range(COUNT) if n not in gone], restarts=[restart])
    assert report.document["losses"]["not_allowed_numbers"] == [label(RUN, 0, 90)]
    lines = [line for line in text(report).splitlines() if line.startswith("missing, ")]
    allowed = ", ".join(label(RUN, 0, n) for n in gone[:3])
    assert lines == [
        f"missing, and no rule allows it: {label(RUN, 0, 90)}",
        f"missing, as a rule allows: {allowed}",
    ]


@pytest.mark.parametrize("how", ["kill", "fast"])
def test_a_restart_explains_no_loss_before_an_event_that_was_delivered(tmp_path: Path, how: Stop) -> None:
    """Request 50 ends before the gateway does and is billed: the queue had let go of all before it."""
    restart = PlayedRestart(how, START + 5.05, START + 5.09)
    report = assessed(tmp_path, [api(0, n) for n in range(COUNT) if n not in (46, 48, 49)], restarts=[restart])
    assert report.losses.not_allowed == 3
    assert report.document["losses"]["not_allowed_numbers"] == [label(RUN, 0, n) for n in (46, 48, 49)]


def test_the_tail_of_each_life_of_the_gateway_is_its_own(tmp_path: Path) -> None:
    """Stopped at 3.05 s and killed at 6.05 s: 29, 30 and 59, 60 were queued, 45 was not."""
    restarts = [PlayedRestart("fast", START + 3.05, START + 3.09), PlayedRestart("kill", START + 6.05, START + 6.09)]
    gone = (29, 30, 45, 59, 60)
    report = assessed(tmp_path, [api(0, n) for n in range(COUNT) if n not in gone], restarts=restarts)
    assert [(row.rule, row.seen) for row in report.losses.rows] == [("LIF-1", 2), ("LIF-2", 2)]
    assert report.document["losses"]["not_allowed_numbers"] == [label(RUN, 0, 45)]


def test_an_event_on_its_way_at_the_stop_may_be_lost_beside_one_of_a_request_under_way_with_it(
    tmp_path: Path,
) -> None:
    """Whose event came first into the queue nobody can say of two requests that overlap."""
    requests = sent()
    requests[0][50] = replace(requests[0][50], started=4.95)
    requests[0][49] = replace(requests[0][49], ended=4.99)
    write_run(tmp_path, requests, arrived([api(0, n) for n in range(COUNT) if n != 49]))
    seen = observed(restarts=[PlayedRestart("kill", START + 5.05, START + 5.09)])
    report = assess(tmp_path, PLAN, Thresholds(), seen, WHERE, None)
    assert (report.losses.lost, report.losses.not_allowed) == (1, 0)


def test_entries_that_are_sent_each_by_itself_are_lost_in_any_order(tmp_path: Path) -> None:
    """BAT-7: an endpoint that is slow has several on their way at the stop, and may have taken in the latest."""
    plan = LoadPlan.from_json({"rate": 10, "duration": 10, "queue": {"concurrency_limit": -1}})
    write_run(tmp_path, sent(), arrived([api(0, n) for n in range(COUNT) if n != 49]))
    slow = PlayedFault({"delay": 0.5}, START, START + 20)
    seen = observed(restarts=[PlayedRestart("kill", START + 5.05, START + 5.09)], faults=[slow])
    report = assess(tmp_path, plan, Thresholds(), seen, WHERE, None)
    assert not KongQueue(QueueSettings(concurrency_limit=-1)).in_order
    assert (report.losses.lost, report.losses.not_allowed) == (1, 0)


def test_no_queue_loses_an_event_that_was_discarded_for_another_ones_id(tmp_path: Path) -> None:
    """EVT-3: it came, before the gateway was killed, with the id of the one before it."""
    events = [api(0, n) for n in range(COUNT)]
    events[50] = replace(events[50], id=events[49].id, verdict="duplicate")
    restart = PlayedRestart("kill", START + 5.05, START + 5.09)
    report = assessed(tmp_path, events, restarts=[restart])
    assert (report.found.events.missing, report.found.events.missing_discarded) == (1, 1)
    assert report.losses.not_allowed == 1
    assert broken(report) == ["--max-loss"]
    assert "1 of them discarded, because another event has their id" in text(report)


def test_what_is_wrong_is_told_by_subject_and_field(tmp_path: Path) -> None:
    events = [api(0, n) for n in range(COUNT)]
    events[3] = replace(events[3], subject="mallory")
    events[5] = replace(events[5], data=(("request_method", "PUT"),))
    said = text(assessed(tmp_path, events))
    assert f"wrong subject, events: 1 ({label(RUN, 0, 3)})" in said
    assert f"wrong field data.request_method, events: 1 ({label(RUN, 0, 5)})" in said


def test_what_is_lost_before_a_restart_is_not_due_to_it(tmp_path: Path) -> None:
    restart = PlayedRestart("kill", START + 5.05, START + 5.09)
    report = assessed(tmp_path, [api(0, n) for n in range(COUNT) if n != 20], restarts=[restart])
    assert report.losses.not_allowed == 1
    assert broken(report) == ["--max-loss"]


def test_the_report_has_the_form_of_its_schema_and_the_summary_tells_of_all_that_happened(tmp_path: Path) -> None:
    write_run(tmp_path, sent(), arrived([api(0, n) for n in range(COUNT)]))
    seen = observed(
        faults=[PlayedFault({"delay": 0.2}, START + 1, START + 2)],
        restarts=[PlayedRestart("graceful", START + 3, START + 4)],
        told={"gave_up": 0},
    )
    seen = replace(seen, drained=False, waiting=3)
    overhead = Overhead(5, 1000, (0.002, 0.003, 0.009), (0.001, 0.002, 0.003), (1.0, 0.5, 2.0))
    report = assess(tmp_path, PLAN, Thresholds(max_overhead=0.1), seen, WHERE, overhead)
    report.write(tmp_path / "report.json")
    document = json.loads((tmp_path / "report.json").read_text())
    jsonschema.validate(document, SCHEMA)
    assert document["kept"] is False and broken(report) == ["--max-overhead"]
    said = text(report)
    for words in (
        "slower by 200 ms, from 1.0 s to 2.0 s",
        "graceful, from 3.0 s to 4.0 s",
        "3 events waiting",
        "+100.0%",
    ):
        assert words in said


def test_a_run_that_sent_less_than_was_due_says_so_and_breaks_the_limit_that_asks_for_more(tmp_path: Path) -> None:
    """A hundred requests in ten seconds, of two hundred."""
    (tmp_path / "pace-0.json").write_text(json.dumps({"asked": 2 * COUNT, "sent": COUNT, "behind_seconds": 1.5}))
    events = [api(0, n) for n in range(COUNT)]
    report = assessed(tmp_path, events, Thresholds(min_rate=LeastRate(share=0.9)))
    assert broken(report) == ["--min-rate"]
    assert "100 of 200 that were due, at most 1.5 s late" in " ".join(text(report).split())
    jsonschema.validate(report.document, SCHEMA)
    assert report.document["rate"] == {
        "asked": 10.0,
        "achieved": 10.0,
        "due": 200,
        "sent": 100,
        "behind_seconds": 1.5,
    }
    again = dict(figures(RecordedReport(report.document)))
    assert again["sent"] == "100 of 200 that were due, at most 1.5 s late"


@pytest.mark.parametrize("status", [500, 302, 401, 0])
def test_a_run_in_which_nothing_is_answered_as_expected_is_no_good_run(tmp_path: Path, status: int) -> None:
    requests = [Request(0, status=status, started=n / 10, ended=n / 10 + 0.001) for n in range(10)]
    write_run(tmp_path, {0: [*requests, Request(1, started=1.0, ended=1.001)]})
    lenient = Thresholds(max_unanswered=Allowance(10))
    for thresholds in (Thresholds(), lenient):
        report = assess(tmp_path, PLAN, thresholds, observed(), WHERE, None)
        assert broken(report) == ["--max-unanswered"]
    assert "not a single event was due" in text(report)
    jsonschema.validate(report.document, SCHEMA)
    assert (report.found.to_json()["unanswered"], report.found.to_json()["billable"]) == (10, 10)


def test_a_restart_explains_the_answers_that_fail_during_it_and_no_others(tmp_path: Path) -> None:
    """Requests 20 to 29 fail, in the third second; the restart takes that second, then the second before it."""
    requests = [Request(0, 0 if 20 <= n < 30 else 200, n / 10, n / 10 + 0.001) for n in range(COUNT)]
    requests[25] = replace(requests[25], ended=None)
    events = [api(0, n) for n in range(COUNT) if not 20 <= n < 30]
    write_run(tmp_path, {0: requests}, arrived(events))
    during = [PlayedRestart("fast", START + 1.99, START + 2.92)]
    before = [PlayedRestart("fast", START + 0.5, START + 1.5)]
    assert broken(assess(tmp_path, PLAN, Thresholds(), observed(restarts=during), WHERE, None)) == []
    during_restart = assess(tmp_path, PLAN, Thresholds(), observed(restarts=during), WHERE, None)
    for told in (text(during_restart), dict(figures(RecordedReport(during_restart.document)))["unanswered"]):
        assert "10 not answered as expected, 10 of them during a restart" in told
    report = assess(tmp_path, PLAN, Thresholds(max_unanswered=Allowance(9)), observed(restarts=before), WHERE, None)
    assert broken(report) == ["--max-unanswered"]
    assert {verdict.option: verdict.seen for verdict in report.verdicts}["--max-unanswered"] == "10"


def test_a_run_without_an_answer_is_no_run(tmp_path: Path) -> None:
    write_run(tmp_path, {0: [Request(0, status=0)]})
    with pytest.raises(NoAccountError, match="not answered a single request"):
        assess(tmp_path, PLAN, Thresholds(), observed(), WHERE, None)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    write_run(tmp_path, sent())
    (tmp_path / "expectations.json").write_text("[")
    with pytest.raises(NoAccountError, match=r"expectations\.json"):
        assess(tmp_path, PLAN, Thresholds(), observed(), WHERE, None)


def test_progress_is_shown_on_a_terminal_and_nowhere_else() -> None:
    step = Progress("sending", 5.0, 1234, 1000, 17)
    shown, silent = io.StringIO(), io.StringIO()
    with progress(PLAN, Console(file=shown, force_terminal=True, width=120)) as tell:
        tell(step)
    with progress(PLAN, Console(file=silent)) as tell:
        tell(step)
    assert "1,234 requests" in shown.getvalue() and "17 waiting" in shown.getvalue()
    assert silent.getvalue() == ""
