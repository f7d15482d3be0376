"""Mutants: the catalogue is sound, and the self-check tells what is killed, what survives and what is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest
import yaml

from harness import resources
from harness.conformance.check_catalogue import Check
from harness.conformance.mutants import (
    CATALOGUE,
    Mutant,
    Patch,
    PatchDoesNotApplyError,
    emulator_source,
    patched,
    plant,
    read_mutants,
)
from harness.conformance.scenario import Scenario, read_scenarios
from harness.conformance.self_check import (
    Failed,
    Fate,
    MutantResult,
    SelfCheck,
    SelfCheckUnusableError,
    child_command,
)
from harness.report import self_check as report
from harness.targets.fake_ingest import IngestPorts
from plugin_emulator.documents import InvalidDocument

#: Defects a run must be able to find, in words of our own, with the mutants that plant them.
DEFECTS: Mapping[str, tuple[str, ...]] = {
    "a stand-in subject where nobody can be billed": ("placeholder-subject",),
    "letter case matters in the subject header's name": ("subject-header-with-case",),
    "of several values the last one counts": ("last-of-repeated-headers", "last-of-repeated-parameters"),
    "a query value taken undecoded": ("query-not-decoded",),
    "the username although custom_id was asked for": ("username-for-custom-id",),
    "an absent attribute sent empty or null": ("absent-attribute-empty", "absent-attribute-null"),
    "an attribute takes a built-in field's place": ("attribute-overwrites-built-in",),
    "only a request's first event has the attributes": ("attribute-on-the-first-event-only",),
    "another id each time a batch is tried": ("new-id-on-retry",),
    "one id for two events": ("id-used-twice", "token-events-share-an-id"),
    "an event is dated by its delivery": ("time-of-delivery",),
    "the query string in request_uri": ("path-with-query",),
    "the upstream's status in place of the client's": ("upstream-status-for-the-clients",),
    "numbers written as strings": ("status-as-a-string", "port-as-a-string", "tokens-as-a-string"),
    "prompt and completion tokens change places": ("tokens-swapped",),
    "token events for a request without AI": ("token-events-for-plain-requests",),
    "an API event although its meter is off": ("api-event-though-off",),
    "a scoped plugin that meters everything": ("scope-ignored",),
    "two instances bill one request": ("two-instances-meter",),
    "a status range that leaves out its end": ("status-range-without-its-end",),
    "each entry starts the window again": ("window-restarted-by-each-entry", "window-restarted-on-the-wire"),
    "windows counted from the start of the process": ("window-on-a-fixed-clock",),
    "a batch over its size": ("batch-too-large", "batch-one-too-large"),
    "nothing leaves before the batch is full": ("flush-only-when-full",),
    "one failure and the batch is gone": ("dropped-at-the-first-failure",),
    "waits that stay the same": ("waits-do-not-grow",),
    "waits that grow without end": ("waits-without-a-cap",),
    "giving up too soon, or far too late": ("gives-up-early", "gives-up-late"),
    "a redirect or a refusal taken for success": ("redirect-is-success", "refusal-is-success"),
    "a retry with other entries than the try": ("new-batch-on-retry",),
    "newest first": ("order-reversed",),
    "the newcomer goes when the queue is full": ("newest-dropped",),
    "characters where bytes are meant": ("characters-for-bytes",),
    "no Authorization": ("no-authorization",),
    "somebody else's token": ("token-of-another-instance",),
    "an array under the content type of one event": ("content-type-of-one-for-a-batch",),
    "any certificate will do": ("certificate-not-verified",),
    "clients wait for the ingest endpoint": ("slow-endpoint-slows-clients",),
    "a graceful stop that loses the queue": ("queue-lost-on-graceful-stop",),
    "a time-out makes duplicates under new ids": ("new-id-after-a-time-out",),
    "one Consumer under two names": ("another-form-where-tokens-count",),
    "a breaker that stays open": ("breaker-never-closes",),
    "Amberflo's clock starts again with each record": ("amberflo-tick-restarted-by-each-record",),
    "Amberflo's replacements where they do not belong": ("amberflo-replacement-in-the-method",),
    "a record that bills nobody": ("amberflo-record-for-an-empty-customer", "amberflo-placeholder-customer"),
    "a record's time in seconds": ("amberflo-seconds-for-milliseconds",),
}

GOOD = """\
- id: batch-too-slow
  defect: A full batch waits for its window to end.
  rules: [BAT-3]
  patches:
    - {file: queue/batch_queue.py, old: "if claimed < largest:", new: "if claimed <= largest:"}
"""


@pytest.fixture(scope="module")
def mutants() -> dict[str, Mutant]:
    return {mutant.id: mutant for mutant in read_mutants()}


@pytest.fixture(scope="module")
def full_batches() -> list[Scenario]:
    """The virtual-time scenarios of full batches, which run in no time and need no gateway."""
    scenarios = read_scenarios([resources.scenarios() / "batching"])
    return [one for one in scenarios if one.kind == "simulate" and "BAT-3" in one.rules]


def self_check(scenarios: list[Scenario], **options: bool) -> SelfCheck:
    # No scenario here is over HTTP, so nothing listens and nobody asks.
    ports = msgspec.to_builtins(IngestPorts(1, 1, 1))
    return SelfCheck(scenarios, child_command("harness.cli.mutant_run"), ports, **options)


def planted(old: str, new: str, file: str = "queue/batch_queue.py") -> Mutant:
    return Mutant("planted", "A defect made for this test.", ("BAT-3",), (Patch(file, old, new),))


def test_the_catalogue_is_sound_and_every_patch_applies_to_the_emulator(mutants: dict[str, Mutant]) -> None:
    assert len(mutants) >= 40
    assert len(mutants) == len(yaml.safe_load(CATALOGUE.read_text()))
    for mutant in mutants.values():
        assert mutant.defect.endswith("."), mutant.id
        for file, text in patched(mutant, emulator_source()).items():
            assert text != (emulator_source() / file).read_text(), mutant.id


def test_every_defect_that_a_run_must_find_has_a_mutant(mutants: dict[str, Mutant]) -> None:
    missing = {words: ids for words, ids in DEFECTS.items() if not set(ids) <= mutants.keys()}
    assert missing == {}


def test_every_rule_that_a_mutant_breaks_is_shown_by_a_scenario_of_its_profile(mutants: dict[str, Mutant]) -> None:
    scenarios = read_scenarios([resources.scenarios()])
    for mutant in mutants.values():
        shown = {rule for one in scenarios if mutant.profile in one.profiles for rule in one.rules}
        assert shown & set(mutant.rules), mutant.id


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("claimed < largest:", "claimed < smallest:"), "'if claimed < smallest:' is not there"),
        (("if claimed < largest:", "self._claimed"), "times: it must be there exactly once"),
        (("queue/batch_queue.py", "queue/missing.py"), "queue/missing.py: cannot be read"),
        (("if claimed <= largest:", "if claimed <="), "is no Python"),
        (("BAT-3", "BAT-33"), "no rule is called 'BAT-33'"),
        (("batch-too-slow", "Batch_too_slow"), "does not match"),
        (("  rules: [BAT-3]\n", ""), "'rules' is a required property"),
        (("defect:", "defekt:"), "'defekt' was unexpected"),
        (("BAT-3]", "BRK-1]\n  profile: kong-3.14"), "BRK-1 does not hold for kong-3.14"),
    ],
)
def test_a_mistake_in_a_catalogue_is_told_with_file_and_line(
    tmp_path: Path, change: tuple[str, str], complaint: str
) -> None:
    file = tmp_path / "mutants.yaml"
    file.write_text(GOOD)
    assert [mutant.id for mutant in read_mutants(file)] == ["batch-too-slow"]
    file.write_text(GOOD.replace(*change))
    with pytest.raises(InvalidDocument) as caught:
        read_mutants(file)
    assert complaint in str(caught.value)
    assert f"{file}:" in str(caught.value)


def test_two_mutants_cannot_have_one_id(tmp_path: Path) -> None:
    (tmp_path / "mutants.yaml").write_text(GOOD + GOOD)
    with pytest.raises(InvalidDocument, match="another mutant has the id 'batch-too-slow'"):
        read_mutants(tmp_path / "mutants.yaml")


def test_further_lines_of_a_patch_take_the_indentation_of_the_line_they_replace() -> None:
    text = "def f():\n    if a:\n        b()\n        c()\n    d()\n"
    changed = Patch("f.py", "b()\nc()", "for x in y:\n    z(x)").apply(text)
    assert changed == "def f():\n    if a:\n        for x in y:\n            z(x)\n    d()\n"
    with pytest.raises(PatchDoesNotApplyError, match="is not there"):
        Patch("f.py", "b()\nd()", "").apply(text)


def test_planting_changes_a_copy_and_leaves_the_emulator_alone(tmp_path: Path, mutants: dict[str, Mutant]) -> None:
    mutant = mutants["full-batch-waits"]
    before = (emulator_source() / mutant.files[0]).read_text()
    plant(mutant, tmp_path)
    copy = tmp_path / "plugin_emulator" / mutant.files[0]
    assert copy.read_text() != before == (emulator_source() / mutant.files[0]).read_text()
    assert not [*copy.parent.glob("__pycache__/batch_queue.*")]


def test_a_planted_defect_is_killed_and_the_scenario_that_blames_its_rule_is_named(
    mutants: dict[str, Mutant], full_batches: list[Scenario]
) -> None:
    check = self_check(full_batches)
    assert check.prove_the_emulator([mutants["full-batch-waits"]]) == len(full_batches)
    result = check.judge(mutants["full-batch-waits"])
    assert result.fate is Fate.KILLED
    assert result.kills[0].scenario in {scenario.id for scenario in full_batches}
    assert "BAT-3" in result.kills[0].messages
    assert "BAT-3" in report.line(result)


def test_a_patch_that_changes_nothing_survives(full_batches: list[Scenario]) -> None:
    result = self_check(full_batches).judge(planted("if claimed < largest:", "if largest > claimed:"))
    assert (result.fate, result.kills, result.others) == (Fate.SURVIVED, (), ())
    assert result.scenarios == len(full_batches)


def test_a_failure_that_blames_other_rules_only_does_not_count_as_a_kill(full_batches: list[Scenario]) -> None:
    mutant = planted("if claimed < largest:", "if claimed <= largest:")
    mutant = Mutant("misblamed", mutant.defect, ("RET-1",), mutant.patches)
    result = self_check(full_batches).judge(mutant)
    assert result.fate is Fate.SURVIVED
    assert result.others


@pytest.mark.parametrize(
    ("new", "reason"),
    [
        ("SHORTEST_WAIT = undefined", "NameError"),
        ("SHORTEST_WAIT = None", "every scenario ends in an error"),
    ],
)
def test_a_mutant_that_does_not_run_is_broken_and_proves_nothing(
    full_batches: list[Scenario], new: str, reason: str
) -> None:
    result = self_check(full_batches).judge(planted("SHORTEST_WAIT = 0.05", new))
    assert result.fate is Fate.BROKEN
    assert reason in result.reason


def test_nothing_is_said_of_mutants_while_the_emulator_itself_fails(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(
        "id: wrong\ntitle: An expectation that no queue can meet\nrules: [BAT-5]\n"
        "simulate: {queue: {}, arrivals: [{t: 0, id: e1, bytes: 1}], ingest: [{status: 202, duration: 0}]}\n"
        "expect: {ended_at: 3}\n"
    )
    with pytest.raises(SelfCheckUnusableError, match=r"the emulator as it is fails wrong as kong-3\.16"):
        self_check(read_scenarios([tmp_path])).prove_the_emulator([planted("a", "b")])


def test_the_matrix_names_what_a_scenario_alone_kills(
    mutants: dict[str, Mutant], full_batches: list[Scenario]
) -> None:
    chosen = [mutants["full-batch-waits"], mutants["batch-one-too-large"]]
    told: list[MutantResult] = []
    results = self_check(full_batches, thorough=True).run(chosen, told.append)
    assert [result.mutant.id for result in results] == [mutant.id for mutant in chosen]
    assert len(told) == 2
    assert results[0].scenarios == len(full_batches)
    matrix = report.matrix(results, full_batches)
    rows = {row.scenario: row for row in matrix.scenarios}
    assert "full-batch-waits" in rows["bat-3-full-batch-leaves-at-once"].kills
    page = report.markdown(results, matrix)
    assert "| `full-batch-waits` | A full batch waits for its window to end. | BAT-3 | `" in page
    data = report.document(results, matrix, 1.0, "0")
    assert json.loads(report.text(data))["totals"]["killed"] == sum(one.fate is Fate.KILLED for one in results)


def result_of(mutant: Mutant, *kills: tuple[str, dict[str, list[str]]]) -> MutantResult:
    """A killed mutant; ``kills`` are a scenario's id and what its checks find, by rule."""
    failed = tuple(Failed(scenario, tuple(found), {}, found) for scenario, found in kills)
    return MutantResult(mutant, Fate.KILLED, failed)


def test_a_check_is_alone_when_every_failure_that_blames_the_mutants_rules_is_its_own(
    full_batches: list[Scenario],
) -> None:
    one, other = full_batches[0].id, full_batches[1].id
    mutant = planted("a", "b")
    alone = result_of(
        mutant, (one, {"BAT-3": ["trace.times"], "BAT-1": ["log"]}), (other, {"BAT-3": ["trace.times"]})
    )
    shared = result_of(mutant, (one, {"BAT-3": ["trace.times", "trace.end"]}))
    elsewhere = result_of(mutant, (one, {"BAT-3": ["trace.times"]}), (other, {"BAT-3": ["trace.end"]}))
    for result, needed in ((alone, True), (shared, False), (elsewhere, False)):
        rows = {row.check: row for row in report.matrix([result], full_batches).checks}
        assert rows[Check.TRACE_TIMES].kills == ("planted",)
        assert rows[Check.TRACE_TIMES].alone == (("planted",) if needed else ())
        assert rows[Check.LOG].kills == ()


def test_what_could_go_without_a_mutant_surviving_is_named(full_batches: list[Scenario]) -> None:
    one, other = full_batches[0].id, full_batches[1].id
    matrix = report.matrix([result_of(planted("a", "b"), (one, {"BAT-3": ["trace.times"]}))], full_batches)
    assert one not in matrix.idle
    assert other in matrix.idle
    assert set(Check) - set(matrix.idle) == {Check.TRACE_TIMES}


def test_a_scenario_that_kills_nothing_by_itself_names_those_that_prove_the_same(
    full_batches: list[Scenario],
) -> None:
    found = {"BAT-3": ["trace.times"]}
    first, second, third = (scenario.id for scenario in full_batches[:3])
    results = [
        result_of(planted("a", "b"), (first, found), (second, found)),
        result_of(planted("a", "b"), (first, found)),
    ]
    results[1] = MutantResult(Mutant("by-one", "Another defect.", ("BAT-3",), ()), Fate.KILLED, results[1].kills)
    rows = {row.scenario: row for row in report.matrix(results, full_batches).scenarios}
    assert (rows[first].alone, rows[second].alone) == (("by-one",), ())
    assert rows[second].also == (first,)
    page = report.markdown(results, report.matrix(results, full_batches))
    assert f"| `{second}` | 1 | *also proven by* `{first}` |" in page
    assert f"| `{third}` | 0 | *kills nothing* |" in page
    assert "| `trace.times` | virtual time: when each try begins | 2 | 2 | `planted`, `by-one` |" in page


class TestCommand:
    """``kong-metering conformance --self-check`` as a user runs it."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Iterator[Path]:
        yield tmp_path

    @staticmethod
    def run(*options: str, cwd: Path, plant_in: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "harness.cli.main", "conformance", *options]
        if plant_in is not None:  # another catalogue
            code = (
                "import sys; from pathlib import Path; from harness.conformance import mutants;"
                "mutants.read_mutants.__defaults__ = (Path(sys.argv.pop(1)), None);"
                "from harness.cli.main import main; main(sys.argv[1:])"
            )
            command = [sys.executable, "-c", code, plant_in, "conformance", *options]
        path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            command, cwd=cwd, capture_output=True, text=True, timeout=100, env={**os.environ, "PYTHONPATH": path}
        )

    def test_a_killed_mutant_ends_with_0_and_is_in_the_report(self, folder: Path) -> None:
        batching = str(resources.scenarios() / "batching/bat-3-full-batch-leaves-at-once.yaml")
        options = ("--self-check", "--mutant", "full-batch-waits", "--json", "report.json", batching)
        done = self.run(*options, cwd=folder)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 killed, 0 survived" in done.stdout
        document = json.loads((folder / "report.json").read_text())
        assert document["ok"] is True
        assert document["mutants"][0]["killed_by"][0]["scenario"] == "bat-3-full-batch-leaves-at-once"

    def test_a_survivor_ends_with_1_and_is_named_with_what_it_is_and_where(self, folder: Path) -> None:
        (folder / "mutants.yaml").write_text(GOOD.replace('"if claimed <= largest:"', '"if largest > claimed:"'))
        scenario = str(resources.scenarios() / "batching/bat-3-full-batch-leaves-at-once.yaml")
        done = self.run("--self-check", scenario, cwd=folder, plant_in="mutants.yaml")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "SURVIVED batch-too-slow: A full batch waits for its window to end." in done.stdout
        assert "plugin_emulator/queue/batch_queue.py" in done.stdout

    def test_a_matrix_in_which_a_check_kills_nothing_ends_with_1_though_no_mutant_survived(
        self, folder: Path
    ) -> None:
        (folder / "mutants.yaml").write_text(GOOD)
        scenario = str(resources.scenarios() / "batching/bat-8-backlog-fills-a-batch.yaml")
        done = self.run("--self-check", "--matrix", scenario, cwd=folder, plant_in="mutants.yaml")
        assert done.returncode == 1, done.stdout + done.stderr
        assert "1 killed, 0 survived" in done.stdout
        assert "IDLE answer.body: no mutant would survive without it" in done.stdout

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            (("--mutant", "full-batch-waits"), "--mutant goes with --self-check"),
            (("--matrix",), "--matrix goes with --self-check"),
            (("--self-check", "--markdown", "page.md"), "--markdown goes with --matrix"),
            (("--self-check", "--mutant", "nothing-of-the-kind"), "no mutant has id 'nothing-of-the-kind'"),
        ],
    )
    def test_a_mistake_in_the_options_is_one_line_and_ends_with_2(
        self, folder: Path, options: tuple[str, ...], complaint: str
    ) -> None:
        done = self.run(*options, cwd=folder)
        assert done.returncode == 2
        assert complaint in done.stderr
        assert done.stderr.count("\n") == 1

    def test_the_list_has_every_mutant_with_its_rules(self, folder: Path) -> None:
        done = self.run("--self-check", "--list", cwd=folder)
        assert done.returncode == 0
        assert "order-reversed  [BAT-1]  " in done.stdout
