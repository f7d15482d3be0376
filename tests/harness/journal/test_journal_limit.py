"""A journal with a limit: two generations, read as one, whatever is written, asked and killed meanwhile."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.journal.explain import UnknownId, explain, not_billed
from harness.journal.file import JournalError, JournalReader, encode, generation_before, read
from harness.journal.lock import is_written
from harness.journal.writer import LEAST_LIMIT, MAX_WAITING, JournalWriter
from plugin_emulator.journal import (
    Configured,
    Ended,
    Fact,
    Instance,
    Lost,
    Metered,
    Sending,
    Started,
    Stopped,
    SubjectReading,
    Tried,
    UnderWay,
)

QUEUE = {"max_batch_size": 100, "max_coalescing_delay": 3600.0}
SETTINGS = {"ingest_endpoint": "http://127.0.0.1:8088/events", "queue": QUEUE}
BEGINNING: tuple[Fact, ...] = (
    Started(1.0, "3.16.0"),
    Configured(1.0, (Instance("p", "metering-and-billing", ("log",), SETTINGS),), ("apikey",)),
)
SUBJECT = SubjectReading("header", "x-tenant-id", "acme")
LIMIT = LEAST_LIMIT


def billed(number: int) -> Iterator[Fact]:
    at = 10.0 + number / 1000
    yield Ended(at, f"r-{number}", at, "GET", "/", 200, instances=("p",))
    yield Metered(at, f"r-{number}", "p", SUBJECT, (), ((f"e-{number}", "kong.api_request"),))
    yield Sending(at, "p", number, (f"e-{number}",))
    yield Tried(at, "p", number, 1, 0.001, ok=True, status=202)


def many(numbers: Iterable[int]) -> Iterator[Fact]:
    for number in numbers:
        yield from billed(number)


def written(
    path: Path,
    facts: Iterable[Fact],
    said: list[str] | None = None,
    limit: int | None = LIMIT,
    each: Callable[[int], None] = lambda count: None,
) -> None:
    async def main() -> None:
        with JournalWriter(path, (said if said is not None else []).append, limit) as writer:
            for count, fact in enumerate(facts):
                writer.write(fact)
                each(count)

    asyncio.run(main())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def sizes(path: Path) -> tuple[int, int]:
    older = generation_before(path)
    return path.stat().st_size, older.stat().st_size if older.exists() else 0


def test_both_generations_together_stay_within_the_limit_and_hold_the_newest_facts(path: Path) -> None:
    highest = 0

    def look(count: int) -> None:
        nonlocal highest
        if count % 50 == 0:
            highest = max(highest, sum(sizes(path)))

    written(path, (*BEGINNING, *many(range(8_000))), each=look)
    assert LIMIT // 2 < highest <= LIMIT
    requests = [int(fact.request[2:]) for fact in read(path) if isinstance(fact, Ended)]
    assert requests == list(range(requests[0], 8_000))  # none is missing
    assert 0 < requests[0] < 8_000 - 1000


def test_a_journal_that_stays_below_half_of_the_limit_is_one_file(path: Path) -> None:
    written(path, (*BEGINNING, *many(range(100))))
    assert not generation_before(path).exists()
    assert list(read(path)) == [*BEGINNING, *many(range(100))]


def test_each_generation_begins_with_gateway_and_configuration_and_explains_alone(path: Path) -> None:
    newer = Configured(2.0, (Instance("q", "metering-and-billing", ("log",), SETTINGS),))
    written(path, (*BEGINNING, *many(range(100)), newer, *many(range(100, 3_000))))
    generation_before(path).unlink()
    first, second, *others = read(path)
    assert first == Started(first.at, "3.16.0", continued=True)
    assert isinstance(second, Configured)
    assert (second.instances, second.at) == (newer.instances, first.at)
    request = next(fact.request for fact in others if isinstance(fact, Ended))
    assert explain(path, request).line.startswith("billed: to 'acme'; delivered")
    with pytest.raises(UnknownId, match=r"'r-0': what was before \d\d:\d\d:\d\d\.\d+ is no longer in it"):
        explain(path, "r-0")


def test_a_life_that_spans_both_generations_is_told_whole_and_nothing_in_it_counts_as_killed(path: Path) -> None:
    """An event waits while the journal goes on in a new file, and is delivered then."""
    waiting = Metered(9.0, "r-w", "p", SUBJECT, (), (("e-w", "kong.api_request"),))
    before = [*BEGINNING, *many(range(800)), Ended(9.0, "r-w", 9.0, "GET", "/", 200, instances=("p",)), waiting]
    after = [*many(range(800, 1_400))]
    written(path, [*before, *after])
    assert generation_before(path).exists()
    assert b'"e-w"' in generation_before(path).read_bytes() and b'"e-w"' not in path.read_bytes()
    assert explain(path, "r-w").line.startswith("under way: the event is in the queue for")
    assert [each.request for each in not_billed(path)] == ["r-w"]
    written(path, [Sending(20.0, "p", 9_000, ("e-w",)), Tried(20.5, "p", 9_000, 1, 0.5, ok=True, status=202)])
    assert explain(path, "e-w").line == "billed: to 'acme'; delivered 11.5 s after the answer"


def test_where_older_facts_are_gone_the_number_of_waiting_events_is_said_to_be_a_least_one(path: Path) -> None:
    waiting = Metered(9.0, "r-w", "p", SUBJECT, (), (("e-w", "kong.api_request"),))
    written(path, [*BEGINNING, *many(range(8_000)), waiting])
    assert "(at least 1 is)" in explain(path, "r-w").line
    # a gateway that begins knows all that waits in it
    written(path, [*BEGINNING, Metered(9.0, "r-v", "p", SUBJECT, (), (("e-v", "kong.api_request"),))])
    assert "(1 is)" in explain(path, "r-v").line


def test_a_journal_that_is_too_large_at_the_start_becomes_the_older_generation(path: Path) -> None:
    written(path, (*BEGINNING, *many(range(3_000))), limit=None)
    assert path.stat().st_size > LIMIT
    written(path, [*BEGINNING, *billed(9_000)])
    assert list(read(path)) == [*BEGINNING, *many(range(3_000)), *BEGINNING, *billed(9_000)]
    assert path.read_bytes().startswith(encode(BEGINNING[0]))


def test_a_reader_that_has_begun_is_not_disturbed_by_a_new_generation(path: Path) -> None:
    written(path, (*BEGINNING, *many(range(1_200))))
    with JournalReader(path) as reader:
        before = list(reader.facts())
        written(path, many(range(5_000, 9_000)))
        assert list(reader.facts())[: len(before)] == before


def test_a_generation_that_begins_between_opening_one_file_and_the_other_is_no_file_twice(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(path, (*BEGINNING, *billed(1)))
    rotated = False
    plain = Path.open

    def open_late(self: Path, *arguments: str, **options: int) -> object:
        nonlocal rotated
        if self.name.endswith(".1") and not rotated:
            rotated = True
            path.replace(generation_before(path))
            path.write_bytes(encode(Started(5.0, "3.16.0", continued=True)) + b"\n")
        return plain(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_late)
    assert list(read(path)) == [*BEGINNING, *billed(1), Started(5.0, "3.16.0", continued=True)]
    assert rotated


def test_the_moment_without_a_file_is_read_from_the_older_generation(path: Path) -> None:
    written(path, (*BEGINNING, *billed(1)))
    path.replace(generation_before(path))
    assert list(read(path)) == [*BEGINNING, *billed(1)]


def test_a_journal_that_somebody_removes_goes_on_in_a_new_file(path: Path) -> None:
    said: list[str] = []

    def remove(count: int) -> None:
        if count == 3_000:
            path.unlink()

    written(path, (*BEGINNING, *many(range(4_000))), said, each=remove)
    assert said == []
    assert explain(path, "r-3999").outcome == "billed"


def test_a_link_to_a_journal_stays_a_link(tmp_path: Path, path: Path) -> None:
    (tmp_path / "disk").mkdir()
    path.symlink_to(tmp_path / "disk" / "real.jsonl")
    written(path, (*BEGINNING, *many(range(1_500))))
    assert path.is_symlink()
    assert sorted(each.name for each in (tmp_path / "disk").iterdir()) == ["real.jsonl", "real.jsonl.1"]
    assert explain(path, "r-0").outcome == "billed"


def test_a_configuration_that_takes_the_limit_alone_is_said_once(path: Path) -> None:
    instances = tuple(Instance(f"p-{n}", "metering-and-billing", ("log",), SETTINGS) for n in range(3_000))
    said: list[str] = []
    written(path, (Configured(1.0, instances), *many(range(2_000))), said)
    (line,) = said
    assert "the configuration alone takes" in line and "choose a larger --journal-limit" in line


def test_a_new_generation_that_cannot_be_begun_is_told_once_and_metering_goes_on(path: Path) -> None:
    said: list[str] = []
    generation_before(path).mkdir()
    (generation_before(path) / "something").touch()
    written(path, (*BEGINNING, *many(range(4_000))), said)
    (line,) = said
    assert line.startswith(f"{path}: cannot be written any more: ")
    assert path.stat().st_size <= LIMIT // 2


@pytest.mark.parametrize("limit", [None, LIMIT])
def test_a_last_line_that_was_cut_off_is_removed_before_another_gateway_goes_on(
    path: Path, limit: int | None
) -> None:
    written(path, BEGINNING)
    with path.open("ab") as file:
        file.write(encode(Stopped(3.0))[:20])
    written(path, [Stopped(4.0)], limit=limit)
    assert list(read(path)) == [*BEGINNING, Stopped(4.0)]


def test_a_file_that_is_no_journal_is_left_as_it_is(path: Path) -> None:
    path.write_text("services: []")
    with pytest.raises(JournalError, match="is not a journal; choose another file"):
        JournalWriter(path)
    assert path.read_text() == "services: []"


def test_what_is_no_ordinary_file_takes_no_limit() -> None:
    with pytest.raises(JournalError, match="/dev/null: is no ordinary file"):
        JournalWriter(Path("/dev/null"), limit=LIMIT)
    JournalWriter(Path("/dev/null")).flush()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_whatever_is_flushed_when_no_fact_of_the_two_generations_is_lost(
    tmp_path_factory: pytest.TempPathFactory, bursts: list[int], restart: int
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    facts = [*BEGINNING]
    number = 0
    for part in (bursts[: len(bursts) // 2], bursts[len(bursts) // 2 :]) if restart else (bursts,):

        async def main(part: list[int] = part) -> None:
            nonlocal number
            with JournalWriter(path, pytest.fail, LIMIT) as writer:
                for fact in BEGINNING:
                    writer.write(fact)
                for burst in part:
                    for _ in range(burst * 20):
                        number += 1
                        for fact in billed(number):
                            facts.append(fact)
                            writer.write(fact)
                    writer.flush()
                    assert sum(sizes(path)) <= LIMIT

        asyncio.run(main())
    ours = [fact for fact in read(path) if not isinstance(fact, Started | Configured | UnderWay)]
    theirs = [fact for fact in facts if not isinstance(fact, Started | Configured | UnderWay)]
    assert ours == theirs[len(theirs) - len(ours) :]
    assert len(ours) * 100 > min(sum(len(encode(fact)) for fact in theirs), LIMIT // 2 - MAX_WAITING) / 2


def test_giving_up_a_generation_does_not_wait_for_the_disk(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that is given up is still open when its name goes, and closed by another thread."""
    import threading

    closed_by: list[str] = []
    plain = os.close

    def close(descriptor: int) -> None:
        closed_by.append(threading.current_thread().name)
        plain(descriptor)

    monkeypatch.setattr(os, "close", close)
    written(path, (*BEGINNING, *many(range(8_000))))
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(10)
    assert closed_by and all(name != threading.main_thread().name for name in closed_by)


def test_a_batch_that_is_retried_while_older_parts_are_given_up_is_still_what_the_others_wait_for(path: Path) -> None:
    settings_ = {**SETTINGS, "queue": {**QUEUE, "max_batch_size": 1}}
    configured = Configured(1.0, (Instance("p", "metering-and-billing", ("log",), settings_),))
    facts: list[Fact] = [BEGINNING[0], configured, Sending(2.0, "p", 1, ("e-lost",))]
    for number in range(4_000):
        at = 10.0 + number
        if number % 50 == 0:
            facts.append(Tried(at, "p", 1, number // 50 + 1, 0.1, ok=False, status=503, problem="answered 503"))
        facts.append(Ended(at, f"r-{number}", at, "GET", "/", 200, instances=("p",)))
        facts.append(Metered(at, f"r-{number}", "p", SUBJECT, (), ((f"e-{number}", "kong.api_request"),)))
    written(path, facts)
    line = explain(path, "r-3999").line
    assert (
        "behind a batch that is being retried: the ingest endpoint http://127.0.0.1:8088/events answered 503 (try 80)"
        in line
    )
    assert line.endswith("[BAT-7]")
    generation_before(path).unlink()
    assert "(try 80)" in explain(path, "r-3999").line
    # it is told once, however often it is carried
    batches = [fact for fact in read(path) if isinstance(fact, UnderWay)]
    assert [(each.batch, each.formed_at, each.size, each.tries[0].number) for each in batches] == [(1, 2.0, 1, 1)]


def test_batches_that_are_over_are_not_carried_and_thousands_keep_to_the_limit(path: Path) -> None:
    facts: list[Fact] = [*BEGINNING]
    for number in range(9_000):
        facts.append(Sending(2.0, "p", number, (f"e-{number}",)))
        if number % 3 == 0:
            facts.append(Tried(2.0, "p", number, 1, 0.1, ok=True, status=202))
        elif number % 3 == 1 and number < 3_000:
            facts.append(Lost(2.0, "p", (f"e-{number}",), "RET-2", "given up", number))
    written(path, facts)
    assert sum(sizes(path)) <= LIMIT
    carried = {fact.batch % 3 for fact in read(path) if isinstance(fact, UnderWay) and fact.batch < 3_000}
    assert carried == {2}


def test_a_gateway_whose_journal_nobody_writes_any_more_was_killed(path: Path) -> None:
    waiting = Metered(9.0, "r-w", "p", SUBJECT, (), (("e-w", "kong.api_request"),))
    with JournalWriter(path):
        path.write_bytes(b"".join(encode(fact) + b"\n" for fact in (*BEGINNING, waiting)))
        assert explain(path, "r-w", 10.0).outcome == "under way"
    assert explain(path, "r-w").outcome == "under way"  # as of its last line
    for explanation in (explain(path, "r-w", 10.0), *not_billed(path, 10.0)):
        assert explanation.line == (
            "lost: the gateway was killed: nobody writes the journal any more, and nothing that is queued survives "
            "that [LIF-1]"
        )
    written(path, [Stopped(10.0)])
    assert "was killed" not in explain(path, "r-w", 11.0).line


def test_a_second_writer_is_refused_whatever_generation_the_first_one_is_in_and_nothing_is_spoilt(path: Path) -> None:
    refused = 0

    def try_to_write_too(count: int) -> None:
        nonlocal refused
        if count % 1_000 == 0:
            with pytest.raises(JournalError, match=r"journal\.jsonl: another process is writing this journal"):
                JournalWriter(path)
            refused += 1

    written(path, (*BEGINNING, *many(range(4_000))), each=try_to_write_too)
    assert generation_before(path).exists() and refused > 10
    assert explain(path, "r-3999").outcome == "billed"
    written(path, BEGINNING)  # one after the other they may


def test_a_second_writer_that_comes_between_two_generations_is_refused(path: Path) -> None:
    """The first one has renamed its file, and not yet begun the next."""
    with JournalWriter(path):
        path.replace(generation_before(path))
        with pytest.raises(JournalError, match="another process is writing this journal"):
            JournalWriter(path)


def test_a_reader_that_asks_whether_anybody_writes_keeps_no_writer_away(path: Path) -> None:
    written(path, BEGINNING)
    assert is_written(path) is False
    assert is_written(path.with_name("none")) is None
    with JournalWriter(path):
        assert is_written(path) is True
    with JournalReader(path) as reader, JournalWriter(path):
        assert list(reader.facts()) == list(BEGINNING)
