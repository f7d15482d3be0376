"""Arrivals: what an ingest endpoint received, kept by number, and what is left after a kill."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any

import orjson
import pytest

from harness.capture.store import CaptureWriter
from harness.ingest.core import IngestCore, IngestSettings
from harness.ingest.faults import FaultScript
from harness.ingest.lanes import Lanes
from harness.ingest.messages import IngestRequest
from loadtests import observations
from loadtests.arrivals import ANSWERED, ARRIVALS, DELIVERIES, DIGEST, Arrivals, ArrivalsWriter, arrivals_from_capture
from loadtests.numbers import label
from loadtests.observations import FILE, Observation, Observations, ObservationsError
from loadtests.reconciliation import reconcile
from loadtests.row_file import RowFileError
from loadtests.strangers import MOST_STRANGERS
from tests.loadtests.recorded_run import RUN, START, TABLE, Delivery, Event, Request, api, chat, received, write_run

FILES = (ARRIVALS, DELIVERIES, FILE)


def observed(directory: Path, *deliveries: Delivery, watched: tuple[str, ...] = TABLE.watched()) -> Arrivals:
    """Write deliveries and read the arrivals."""
    with ArrivalsWriter(directory, RUN, watched) as writer:
        for number, delivery in enumerate(deliveries, 1):
            writer.observe(*received(number, delivery))
    return Arrivals.read(directory)


def test_an_event_is_a_row(tmp_path: Path) -> None:
    """Number, verdict, id, time, delivery and what was observed of it."""
    identity = str(uuid.uuid4())
    arrivals = observed(
        tmp_path,
        Delivery((api(2, 5),), at=1.25, status=503),
        Delivery((api(7, 4_294_967_295, id=identity), api(7, 1, id="order 66")), at=2.5, lane="a"),
    )
    first, second, third = arrivals.events.read(0, 3)
    assert (first["worker"], first["n"], first["flags"], first["arrived_at"]) == (2, 5, 0, START + 1.25)
    assert (second["worker"], second["n"], second["flags"]) == (7, 4_294_967_295, ANSWERED)
    assert second["id"].tobytes() == uuid.UUID(identity).bytes
    assert third["flags"] == ANSWERED | DIGEST
    assert (second["delivery"], third["delivery"]) == (1, 1)
    assert arrivals.observations.items[second["observation"]] == Observation(
        "a", "kong.api_request", "alice", "kong", (None, "GET", None)
    )
    assert second["observation"] == third["observation"] != first["observation"], "lanes are told apart"
    row = arrivals.deliveries.read(1, 1)[0]
    assert (row["n"], row["entries"], row["accepted"], row["status"], row["size"]) == (2, 2, 2, 202, 200)


def test_paths_anywhere_in_the_event_can_be_watched(tmp_path: Path) -> None:
    """Members of data, of the envelope and deeper ones; what is absent is None."""
    event = Event(0, 0, data=(("a", {"b": [1]}), ("c", True)))
    arrivals = observed(tmp_path, Delivery((event,)), watched=("source", "data.a.b", "data.c", "data.c.d", "data.no"))
    values = dict(zip(arrivals.observations.watched, arrivals.observations.items[0].values, strict=True))
    assert values == {"source": "kong", "data.a.b": [1], "data.c": True, "data.c.d": None, "data.no": None}


@pytest.mark.parametrize(
    "event",
    [
        17,
        None,
        [],
        {},
        {"data": None},
        {"data": "load_number"},
        {"data": {}},
        {"data": {"load_number": 5}},
        {"data": {"load_number": "ffffffff-00000-0000000000"}},
        {"data": {"load_number": "0123abcd-00000-x"}},
        {"data": {"load_number": "0123abcd-00000-1"}},
        {"data": {"load_number": "0123abcd-99999-0000000001"}},
        {"data": {"load_number": "0123ABCD-00000-0000000001"}},
        {"data": {"load_number": "0123abcd-00000-4294967296"}},
        {"data": {"load_number": "0123abcd-00000-"}},
        {"data": {"load_number": "0123abcd-00000-1_0"}},
        {"data": {"load_number": "0123abcd-00000-٣"}},
        {"id": "x" * 1000, "data": {"load_number": ["0123abcd-00000-0"]}},
    ],
)
def test_any_body_is_taken(tmp_path: Path, event: Any) -> None:
    """An event that is not the run's, whatever it is, is counted as a stranger beside the run's own."""
    own = api(0, 1)
    record, receipt = received(1, Delivery((own, own, own)))
    bodies = [own.body(), event, own.body()]
    receipt = type(receipt)(receipt.answer, receipt.verdicts, bodies)
    with ArrivalsWriter(tmp_path, RUN, ()) as writer:
        writer.observe(*received(1, Delivery((own,))))
        writer.observe(record, receipt)
    arrivals = Arrivals.read(tmp_path)
    row = arrivals.deliveries.read(1, 1)[0]
    strange = [int(row[name]) for name in ("other_run", "unnumbered", "malformed")]
    assert (row["entries"], row["accepted"], sum(strange)) == (3, 2, 1)
    text = (
        event["data"].get("load_number") if isinstance(event, dict) and isinstance(event.get("data"), dict) else None
    )
    assert strange == [
        text == "ffffffff-00000-0000000000",
        text is None,
        text not in (None, "ffffffff-00000-0000000000"),
    ]
    assert row["malformed_accepted"] == row["malformed"]
    assert arrivals.events.rows == 3
    assert len(arrivals.strangers) == 1
    assert len(str(arrivals.strangers[0])) < 1500


def test_an_event_without_envelope_members_is_the_runs_all_the_same(tmp_path: Path) -> None:
    """An invalid event still says which request it is of."""
    record, receipt = received(1, Delivery((api(0, 0, verdict="invalid"),), status=400))
    receipt = type(receipt)(receipt.answer, receipt.verdicts, [{"data": {"load_number": label(RUN, 0, 0)}}])
    with ArrivalsWriter(tmp_path, RUN, ()) as writer:
        writer.observe(record, receipt)
    arrivals = Arrivals.read(tmp_path)
    assert arrivals.events.rows == 1
    assert arrivals.observations.items == (Observation("", None, None, None, ()),)


def test_only_the_first_strangers_are_kept(tmp_path: Path) -> None:
    """All are counted, over several writers."""
    for _ in range(3):
        delivery = Delivery(tuple(api(0, n, run="ffffffff") for n in range(60)))
        arrivals = observed(tmp_path, delivery)
    assert len(arrivals.strangers) == MOST_STRANGERS
    assert arrivals.deliveries.read(0, 3)["other_run"].tolist() == [60, 60, 60]


def test_a_second_writer_goes_on(tmp_path: Path) -> None:
    """The endpoint was restarted: rows and observations are continued, not begun anew."""
    observed(tmp_path, Delivery((api(0, 0), api(0, 1, subject="bob"))))
    arrivals = observed(tmp_path, Delivery((api(0, 2, subject="bob"), api(0, 3, subject="eve"))))
    rows = arrivals.events.read(0, 4)
    assert rows["observation"].tolist() == [0, 1, 1, 2]
    assert rows["delivery"].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("cut", [1, 17, 39])
def test_a_torn_last_row_is_passed_over(tmp_path: Path, cut: int) -> None:
    """What a killed endpoint left incomplete counts as unrecorded, and the next writer cuts it off."""
    requests = {0: [Request(0), Request(0)]}
    write_run(tmp_path, requests, [Delivery((api(0, 0), api(0, 1)))])
    for name, size in ((ARRIVALS, cut), (DELIVERIES, 0), (FILE, 0)):
        path = tmp_path / name
        os.truncate(path, path.stat().st_size - size)
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'["","kong.api')
    with (tmp_path / DELIVERIES).open("ab") as file:
        file.write(b"torn")
    result = reconcile(tmp_path)
    assert (result.classes["billed_once"], result.classes["missing"]) == (1, 1)
    assert result.strangers.unrecorded == 1
    observed(tmp_path, Delivery((api(0, 1, subject="eve"),), at=4.0))
    result = reconcile(tmp_path)
    assert (result.classes["billed_once"], result.classes["wrong"]) == (1, 1)


def test_a_file_of_another_run_is_refused(tmp_path: Path) -> None:
    """Rows of two runs in one file could not be told apart."""
    observed(tmp_path)
    with pytest.raises(RowFileError, match=r"arrivals\.bin: is not such a file of run ffffffff; choose another"):
        ArrivalsWriter(tmp_path, "ffffffff", TABLE.watched())
    with pytest.raises(ObservationsError, match="is of another run, or of other fields"):
        ArrivalsWriter(tmp_path, RUN, ("data.x",))


def test_a_second_writer_at_the_same_time_is_refused(tmp_path: Path) -> None:
    """Two endpoints must not write one directory."""
    with ArrivalsWriter(tmp_path, RUN, ()), pytest.raises(RowFileError, match="another process is writing"):
        ArrivalsWriter(tmp_path, RUN, ())
    ArrivalsWriter(tmp_path, RUN, ()).close()


def test_a_directory_without_arrivals(tmp_path: Path) -> None:
    """The file that is missing is named."""
    with pytest.raises(RowFileError, match=r"arrivals\.bin: cannot be read: No such file"):
        Arrivals.read(tmp_path)


@pytest.mark.parametrize("text", ["", "{}\n", "no\n", '{"format":"x","version":1,"run":"0123abcd","watched":[]}\n'])
def test_a_damaged_table_is_refused(tmp_path: Path, text: str) -> None:
    """Rows without it mean nothing."""
    (tmp_path / FILE).write_text(text)
    with pytest.raises(ObservationsError, match=r"observations\.jsonl: is"):
        Observations.read(tmp_path)


def test_a_field_that_is_different_in_each_event_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table of observations is bounded; the message says what to do."""
    monkeypatch.setattr(observations, "MOST_OBSERVATIONS", 3)
    events = tuple(Event(0, n, data=(("request_method", str(n)),)) for n in range(4))
    with pytest.raises(ObservationsError, match="over 3 different events; watch fewer fields"):
        observed(tmp_path, Delivery(events))


def test_a_capture_gives_the_same_arrivals(tmp_path: Path) -> None:
    """Written while they came, and made of the capture afterwards: the same bytes."""
    live, later = tmp_path / "live", tmp_path / "later"
    live.mkdir()
    later.mkdir()
    capture = tmp_path / "capture.jsonl"
    first = [*(event.body() for event in chat(0, 0)), api(0, 1, run="ffffffff").body()]
    bodies = [orjson.dumps([{"specversion": "1.0", **event} for event in first]), b"not JSON", b"17", b""]
    with CaptureWriter(capture) as captured, ArrivalsWriter(live, RUN, TABLE.watched()) as writer:
        settings = IngestSettings(lenient=True)
        lanes = Lanes(captured, settings, FaultScript.parse([202, 503, 202]), writer.observe)
        assert isinstance(lanes.get("").core, IngestCore)  # type: ignore[union-attr]
        for body in [*bodies, bodies[0]]:
            arrival = lanes.arrive("/events")
            headers = (("Authorization", "Bearer x"), ("Content-Type", "application/cloudevents-batch+json"))
            lanes.receive(arrival, IngestRequest("POST", "/events", headers, body, connection="c"))
        lanes.abandon(lanes.arrive("/events"), IngestRequest("POST", "/events", (), b"[{"))
    arrivals_from_capture(capture, later, RUN, TABLE.watched())
    for name in FILES:
        assert (live / name).read_bytes() == (later / name).read_bytes(), name
    arrivals = Arrivals.read(live)
    assert arrivals.events.rows == 6
    assert arrivals.deliveries.rows == 6
