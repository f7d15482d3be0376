"""Who tests the tests: runs the suite against every mutant of the emulator and tells which ones it does not notice.

Each mutant runs in a child process that finds the patched copy of the emulator before the real one. The child runs
scenarios and prints verdicts; what they mean for the mutant is decided here.
"""

from __future__ import annotations

import contextlib
import enum
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

import harness
from harness.conformance.delivery_checks import RULES_OF_ANY_SCENARIO
from harness.conformance.mutants import Mutant, plant
from harness.conformance.outcome import AskedForm, Verdict
from harness.conformance.scenario import Kind, Scenario
from harness.targets.scratch_folder import ScratchFolder

#: Seconds a scenario waits for what is expected; the emulator as it is has to manage with them too.
PATIENCE = 6.0
#: Seconds after which a mutant that does not come to an end is given up; when everything is run, and a mutant fails
#: most of it, each failure takes its time.
LONGEST_RUN = 240.0
LONGEST_THOROUGH_RUN = 900.0
#: Gateways side by side where everything is run: scenarios over HTTP mostly wait.
GATEWAYS = 3

#: The cheapest kinds first, so that a kill comes early.
_COST: Mapping[Kind, int] = {"advice": 0, "simulate": 0, "exchanges": 1, "configuration": 2, "traffic": 3}


class SelfCheckUnusableError(RuntimeError):
    """The self-check can say nothing: the emulator as it is does not pass. The text is one line."""


class Fate(enum.StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Failed:
    """A scenario that failed against a mutant: the rules it blames, and by rule what it says and what found it.

    ``checks`` has the ids of all checks without which the rule would not be blamed as it is.
    """

    scenario: str
    rules: tuple[str, ...]
    messages: Mapping[str, str] = field(default_factory=dict)
    checks: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def blames(self, mutant: Mutant) -> str | None:
        """Return the first of ``mutant``'s rules that is blamed, or None."""
        return next((rule for rule in mutant.rules if rule in self.rules), None)

    def found_by(self, mutant: Mutant) -> frozenset[str]:
        """Return the checks that blame one of ``mutant``'s rules."""
        return frozenset(check for rule in mutant.rules for check in self.checks.get(rule, ()))


@dataclass(frozen=True, slots=True)
class MutantResult:
    """What the suite made of one mutant.

    ``kills`` are the failures that blame one of its rules, ``others`` those that blame only others. ``reason`` says
    why it is broken. ``scenarios`` is how many were run to an end, ``seconds`` how long it took.
    """

    mutant: Mutant
    fate: Fate
    kills: tuple[Failed, ...] = ()
    others: tuple[Failed, ...] = ()
    reason: str = ""
    scenarios: int = 0
    seconds: float = 0.0

    @property
    def checks(self) -> frozenset[str]:
        """The checks that killed it: it would survive only if all of them were gone."""
        return frozenset(check for failed in self.kills for check in failed.found_by(self.mutant))


class _Judged(NamedTuple):
    """As what a gateway is judged."""

    profile: str
    subject_form: AskedForm

    @classmethod
    def of(cls, mutant: Mutant) -> _Judged:
        return cls(mutant.profile, mutant.subject_form)


@dataclass(slots=True)
class _Run:
    """What a child has told so far."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    failed: list[Failed] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    finished: bool = False
    trouble: str = ""


class SelfCheck:
    """Runs ``scenarios`` against mutants.

    ``command`` starts the child (see ``harness.cli.mutant_run``), ``ports`` is what it is told of the ingest
    endpoint that all children share. ``at_once`` mutants run side by side. ``thorough`` runs every scenario against
    every mutant that it could kill; otherwise a mutant's run ends with the first failure that blames one of its
    rules.
    """

    def __init__(
        self,
        scenarios: Sequence[Scenario],
        command: Sequence[str],
        ports: Mapping[str, int],
        *,
        at_once: int = 2,
        thorough: bool = False,
    ) -> None:
        self._scenarios = scenarios
        self._command = command
        self._ports = ports
        self._at_once = at_once
        self._thorough = thorough
        self._children: set[subprocess.Popen[str]] = set()
        self._closed = False
        self._lock = threading.Lock()

    def prove_the_emulator(self, mutants: Sequence[Mutant]) -> int:
        """Run the scenarios against the emulator as it is; return how many passed.

        All of them as what most ``mutants`` are judged as, a gateway version and a form of Consumers' names; as
        anything else, those that can blame a rule of its mutants. Raises SelfCheckUnusableError when one of them does
        not pass.
        """
        counts = Counter(_Judged.of(mutant) for mutant in mutants)
        ways = [way for way, _ in counts.most_common()]
        whole = ways[:1] if not self._thorough else ways

        def proven(way: _Judged) -> _Run:
            rules = {rule for mutant in mutants if _Judged.of(mutant) == way for rule in mutant.rules}
            about = None if way in whole else rules
            return self._child(None, way, about)

        with self._workers() as pool:
            runs = [*pool.map(proven, ways)]
        for (profile, _), run in zip(ways, runs, strict=True):
            if run.trouble:
                raise SelfCheckUnusableError(f"the emulator as it is cannot be tested as {profile}: {run.trouble}")
            for failed in run.failed:
                message = next(iter(failed.messages.values()), "it fails")
                what = f"the emulator as it is fails {failed.scenario} as {profile}: {message}"
                raise SelfCheckUnusableError(f"{what}; what mutants do shows nothing until it passes")
            if run.errors:
                raise SelfCheckUnusableError(f"the emulator as it is has trouble as {profile}: {run.errors[0]}")
        return sum(verdict is Verdict.PASS for run in runs for verdict in run.verdicts.values())

    def run(self, mutants: Sequence[Mutant], told: Callable[[MutantResult], None]) -> list[MutantResult]:
        """Judge ``mutants``; ``told`` gets each result as soon as there is one. Results are in the order given."""

        def judged(mutant: Mutant) -> MutantResult:
            result = self.judge(mutant)
            with self._lock:
                if not self._closed:  # of one that was ended with the run nothing is to be told
                    told(result)
            return result

        with self._workers() as pool:
            return [*pool.map(judged, mutants)]

    def judge(self, mutant: Mutant) -> MutantResult:
        """Run the suite against one mutant."""
        begun = time.monotonic()
        run = self._child(mutant, _Judged.of(mutant))
        kills = tuple(failed for failed in run.failed if failed.blames(mutant))
        others = tuple(failed for failed in run.failed if not failed.blames(mutant))
        if self._thorough:  # in an order of their own, whichever came first: what is about the rules, then the rest
            place = {one.id: (set(mutant.rules).isdisjoint(one.rules), n) for n, one in enumerate(self._scenarios)}
            kills = tuple(sorted(kills, key=lambda failed: place[failed.scenario]))
        fate, reason = _fate(run, kills)
        return MutantResult(mutant, fate, kills, others, reason, len(run.verdicts), time.monotonic() - begun)

    @contextlib.contextmanager
    def _workers(self) -> Iterator[ThreadPoolExecutor]:
        pool = ThreadPoolExecutor(self._at_once, thread_name_prefix="mutant")
        try:
            yield pool
        except BaseException:
            self._closed = True
            for child in list(self._children):
                _end(child)
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _child(self, mutant: Mutant | None, way: _Judged, about: Set[str] | None = None) -> _Run:
        """Run a child to its end; ``about`` limits it to scenarios of these rules."""
        run = _Run()
        with ScratchFolder() as folder:
            plant(mutant, folder)
            (folder / "tmp").mkdir()
            errors = (folder / "errors.txt").open("w+", encoding="utf-8", errors="replace")
            with errors:
                child = self._start(folder, errors)
                late = threading.Event()
                limit = LONGEST_THOROUGH_RUN if self._thorough else LONGEST_RUN
                stopper = threading.Timer(limit, _end_late, (child, late))
                stopper.start()
                try:
                    self._listen(child, self._order(mutant, way, folder, about), mutant, run)
                finally:
                    stopper.cancel()
                    _end(child)
                    _close(child)
                    self._children.discard(child)
                if late.is_set():
                    run.trouble = f"the suite did not come to an end within {limit:.0f} s"
                elif not run.finished and not run.trouble:
                    run.trouble = _last_words(errors)
        return run

    def _start(self, folder: Path, errors: IO[str]) -> subprocess.Popen[str]:
        """Start a child in a process group of its own, with all it starts: the group is ended as one."""
        checkout = str(Path(harness.__file__).resolve().parent.parent)
        path = [str(folder), checkout, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "TMPDIR": str(folder / "tmp")}
        child = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            self._command,
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        self._children.add(child)
        if self._closed:
            _end(child)
        return child

    def _order(self, mutant: Mutant | None, way: _Judged, folder: Path, limit: Set[str] | None) -> dict[str, Any]:
        rules = set(mutant.rules) if mutant else set()
        kept = [one for one in self._scenarios if way.profile in one.profiles]
        if mutant is not None and self._thorough:
            kept = [one for one in kept if _can_blame(one, rules)]
        if limit is not None:
            kept = [one for one in kept if not limit.isdisjoint(one.rules)]
        groups = _groups(rules)
        ordered = sorted(
            kept,
            key=lambda one: (rules.isdisjoint(one.rules), groups.isdisjoint(_groups(one.rules)), _COST[one.kind]),
        )
        about = sum(not rules.isdisjoint(scenario.rules) for scenario in kept)
        if mutant is None or self._thorough:  # everything is run: what takes longest begins first
            ordered = sorted(kept, key=lambda one: -_COST[one.kind])
            about = len(kept)
        files = [str(Path(scenario.file).resolve()) for scenario in ordered]
        return {
            "emulator": str(folder),
            "profile": way.profile,
            "subject_form": way.subject_form,
            "ports": dict(self._ports),
            "first": files[:about],
            "then": files[about:],
            # A mutant mostly falls at the first scenario, before a second gateway would have started; not one that
            # any scenario may notice.
            "gateways": 1 if mutant and not self._thorough and rules.isdisjoint(RULES_OF_ANY_SCENARIO) else GATEWAYS,
            "patience": PATIENCE,
        }

    def _listen(
        self, child: subprocess.Popen[str], order: Mapping[str, Any], mutant: Mutant | None, run: _Run
    ) -> None:
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(json.dumps(order) + "\n")
            child.stdin.flush()
        except OSError:  # it ended before it could read; why is in its last words
            return
        for line in child.stdout:
            try:
                told = json.loads(line)
            except ValueError:
                continue  # something a mutant prints
            if "unavailable" in told:
                run.trouble = str(told["unavailable"])
            elif "finished" in told:
                run.finished = True
            else:
                failed = _take(told, run)
                if mutant and failed and failed.blames(mutant) and not self._thorough:
                    run.finished = True
                    return


def _groups(rules: Iterable[str]) -> Set[str]:
    return {rule.partition("-")[0] for rule in rules}


def _can_blame(scenario: Scenario, rules: Set[str]) -> bool:
    """Return whether a failure of ``scenario`` can name one of ``rules``."""
    anywhere = scenario.form.rules_anywhere
    of_events = scenario.kind in ("traffic", "exchanges") and not anywhere.isdisjoint(rules)
    return of_events or not rules.isdisjoint(scenario.rules)


def _take(told: Mapping[str, Any], run: _Run) -> Failed | None:
    """Enter one scenario's verdict into ``run``; return it when it is a failure."""
    verdict = Verdict(told["verdict"])
    run.verdicts[told["scenario"]] = verdict
    if verdict is Verdict.ERROR:
        run.errors.append(f"{told['scenario']}: {told['reason']}")
    if verdict is not Verdict.FAIL:
        return None
    failed = Failed(told["scenario"], tuple(told["messages"]), told["messages"], told["checks"])
    run.failed.append(failed)
    return failed


def _fate(run: _Run, kills: Sequence[Failed]) -> tuple[Fate, str]:
    """A mutant that cannot be run proves nothing of the suite."""
    if kills and not run.trouble:
        return Fate.KILLED, ""
    if run.trouble:
        return Fate.BROKEN, run.trouble
    run_at_all = [verdict for verdict in run.verdicts.values() if verdict is not Verdict.SKIP]
    if run_at_all and all(verdict is Verdict.ERROR for verdict in run_at_all):
        return Fate.BROKEN, f"every scenario ends in an error: {run.errors[0]}"
    return Fate.SURVIVED, ""


def _end(child: subprocess.Popen[str]) -> None:
    """End a child with all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _end_late(child: subprocess.Popen[str], late: threading.Event) -> None:
    late.set()
    _end(child)


def _close(child: subprocess.Popen[str]) -> None:
    for stream in (child.stdin, child.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _last_words(errors: IO[str]) -> str:
    errors.seek(0)
    lines = [line.strip() for line in errors if line.strip()]
    return f"the run ended by itself: {lines[-1] if lines else 'without a word'}"


def child_command(module: str) -> list[str]:
    """Return the command that runs ``module`` as a child in this interpreter."""
    return [sys.executable, "-m", module]
