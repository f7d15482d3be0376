"""The journal as a file: what is in it, what is not, and what happens when it cannot be written."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.capture.redaction import REDACTED
from harness.journal.file import JournalError, JournalReader, encode, read
from harness.journal.redaction import without_secrets
from harness.journal.writer import MAX_WAITING, JournalWriter
from plugin_emulator.journal import AttributeReading, Configured, Ended, Fact, Metered, Named, Stopped, SubjectReading

ENDED = Ended(2.0, "r", 1.9, "GET", "/one", 200)


def written(path: Path, facts: list[Fact], said: list[str] | None = None) -> None:
    async def main() -> None:
        with JournalWriter(path, (said if said is not None else []).append) as writer:
            for fact in facts:
                writer.write(fact)

    asyncio.run(main())


def test_facts_are_read_as_they_were_written_and_appended_to_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    metered = Metered(2.0, "r", "p", SubjectReading("header", "x", "ü\n"), events=(("e", "t"),))
    written(path, [ENDED, metered])
    written(path, [Stopped(3.0, 1)])
    assert list(read(path)) == [ENDED, metered, Stopped(3.0, 1)]
    assert path.read_bytes().count(b"\n") == 3


def test_a_name_that_is_no_text_is_written_with_a_question_mark(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    written(path, [Ended(2.0, "r", 1.9, "GET", "/", 200, route=Named("1", "a\ud800"))])
    (ended,) = read(path)
    assert isinstance(ended, Ended)
    assert ended.route == Named("1", "a?")


def test_a_fact_is_in_the_file_soon_without_being_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"

    async def main() -> None:
        with JournalWriter(path) as writer:
            writer.write(ENDED)
            async with asyncio.timeout(10):
                while not path.read_bytes():  # noqa: ASYNC110  # a file tells nobody that it has grown
                    await asyncio.sleep(0.005)

    asyncio.run(main())


def test_what_waits_in_memory_is_bounded(tmp_path: Path) -> None:
    """Many facts within one turn of the event loop are in the file before the loop goes on."""
    path = tmp_path / "journal.jsonl"
    line = len(encode(ENDED)) + 1

    async def main() -> None:
        with JournalWriter(path) as writer:
            for count in range(1, 2_000):
                writer.write(ENDED)
                assert count * line - path.stat().st_size < MAX_WAITING

    asyncio.run(main())


def test_a_full_disk_is_told_once_and_metering_goes_on() -> None:
    said: list[str] = []
    written(Path("/dev/full"), [ENDED] * 2_000, said)
    assert said == ["/dev/full: cannot be written any more: No space left on device"]


def test_the_ends_of_other_requests_may_be_left_out_but_for_the_last_which_tells_the_time(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    others = [Ended(3.0, "o", 2.9, "GET", "/two", 200), Ended(4.0, "p", 3.9, "GET", "/three", 200)]
    wanted = Ended(4.5, "4ac3b7", 4.4, "GET", "/one", 200)
    written(path, [*others, wanted, Stopped(5.0), *others])
    with JournalReader(path) as reader:
        assert list(reader.facts(ended=["4ac3b7"])) == [wanted, Stopped(5.0), others[1]]
        assert list(reader.facts(ended=[str(number) for number in range(1_000)])) == list(reader.facts())


def test_a_last_line_without_its_end_is_being_written_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(encode(ENDED) + b"\n" + encode(ENDED)[:20])
    assert list(read(path)) == [ENDED]


def test_a_line_that_is_no_fact_is_an_error_with_its_number(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(encode(ENDED) + b"\n[1]\n")
    with pytest.raises(JournalError, match=r"journal\.jsonl:2: is no line of a journal"):
        list(read(path))


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("header", "Authorization"),
        ("header", "X-My-Key"),
        ("query", "x-my-key"),
        ("header", "Cookie"),
        ("query", "access_token"),
    ],
)
def test_a_subject_or_attribute_that_is_a_secret_is_not_told(place: str, name: str) -> None:
    """A header that always is one, or one that key-auth of the same configuration finds API keys in."""
    told: list[Fact] = []
    observe = without_secrets(told.append)
    observe(Configured(1.0, (), ("x-my-key",)))
    attributes = (AttributeReading("a", place, name, "hush"), AttributeReading("b", "header", "x-project", "apollo"))
    observe(Metered(2.0, "r", "p", SubjectReading(place, name, "hush"), attributes, (("e", "t"),)))
    metered = told[1]
    assert isinstance(metered, Metered)
    assert metered.subject == SubjectReading(place, name, REDACTED)
    assert [each.value for each in metered.attributes] == [REDACTED, "apollo"]
    assert metered.events == (("e", "t"),)


def test_an_absent_secret_stays_absent_and_other_subjects_are_told() -> None:
    told: list[Fact] = []
    observe = without_secrets(told.append)
    for subject in (SubjectReading("header", "authorization"), SubjectReading("consumer", None, "alice")):
        observe(Metered(2.0, "r", "p", subject))
    assert [fact.subject.value for fact in told if isinstance(fact, Metered)] == [None, "alice"]
