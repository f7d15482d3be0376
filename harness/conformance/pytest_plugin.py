"""The suite on pytest: every scenario file is an item whose outcome is the scenario's verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.conformance.outcome import (
    AskedForm,
    Event,
    Report,
    RunFinished,
    RunStarted,
    ScenarioFinished,
    Verdict,
)
from harness.conformance.pool import Pool
from harness.conformance.rules import Rule
from harness.conformance.scenario import SUFFIXES, Scenario, read_scenario
from harness.conformance.subject_form import FormsOfRun
from harness.targets.target import TargetUnavailableError


class ScenarioFailedError(AssertionError):
    """The scenario's verdict is fail, finding or error; the text says what it saw."""


class ScenarioItem(pytest.Item):
    """One scenario."""

    def __init__(self, *, scenario: Scenario, runner: ConformancePlugin, **rest: Any) -> None:
        super().__init__(**rest)
        self.scenario = scenario
        self._runner = runner

    def runtest(self) -> None:
        """Wait for the verdict; the scenario itself runs in the pool, beside others."""
        finished = self._runner.verdict(self.scenario)
        if finished.verdict is Verdict.SKIP:
            pytest.skip(finished.reason)
        if finished.verdict is Verdict.FINDING:
            pytest.xfail(f"finding: {'; '.join(failure.message for failure in finished.failures)}")
        if finished.verdict is not Verdict.PASS:
            messages = [failure.message for failure in finished.failures] or [finished.reason]
            raise ScenarioFailedError("; ".join(messages))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str:
        """One line: the reports have the evidence."""
        return str(excinfo.value)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """File and title, as pytest shows them."""
        return self.path, 0, f"{self.scenario.id}: {self.scenario.title}"


class ScenarioFile(pytest.File):
    """A scenario file."""

    runner: ConformancePlugin

    def collect(self) -> Iterable[pytest.Item]:
        """Yield the file's one scenario, unless the rules asked for leave it out."""
        scenario = read_scenario(self.path)
        if self.runner.wanted(scenario):
            yield ScenarioItem.from_parent(self, name=scenario.id, scenario=scenario, runner=self.runner)


class ConformancePlugin:
    """Collects scenario files and feeds the reports. Give an instance to ``pytest.main(plugins=[…])``.

    ``wanted`` says which scenarios to run, ``open_pool`` makes the pool when there is one to run. ``subject_form`` is
    the form in which events must name Consumers, ``command`` gives the command that runs just the scenarios given.
    """

    def __init__(
        self,
        *,
        open_pool: Callable[[], Pool],
        reports: Sequence[Report],
        wanted: Callable[[Scenario], bool],
        rules: Sequence[Rule],
        target: str,
        profile: str,
        version: str,
        strict: bool = False,
        subject_form: AskedForm = "username",
        command: Callable[..., str] | None = None,
    ) -> None:
        self.wanted = wanted
        self._open_pool = open_pool
        self._reports = reports
        self._started = RunStarted(target, profile, version, rules, 0, strict, subject_form)
        self._forms = FormsOfRun() if subject_form == "auto" else None
        self._command = command
        self._pool: Pool | None = None
        self._futures: dict[str, Future[ScenarioFinished]] = {}
        self._begun = time.perf_counter()
        self.aborted: str | None = None
        #: What could not be ended, a line each.
        self.left_behind: list[str] = []

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Take YAML files as scenarios."""
        if file_path.suffix not in SUFFIXES:
            return None
        collector = ScenarioFile.from_parent(parent, path=file_path)
        collector.runner = self
        return collector

    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Start all scenarios before the first is waited for."""
        scenarios = [item.scenario for item in session.items if isinstance(item, ScenarioItem)]
        self._begun = time.perf_counter()
        self._tell(replace(self._started, scenarios=len(scenarios)))
        if scenarios:
            self._pool = self._open_pool()
            self._futures = self._pool.submit_all(scenarios)

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """End the targets and tell the reports; when nobody waits for verdicts any more, at once."""
        if self._pool is not None:
            waited_for = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
            self.left_behind = self._pool.close(at_once=not waited_for)
            self._pool = None
        self._tell(RunFinished(time.perf_counter() - self._begun, self.aborted))

    def verdict(self, scenario: Scenario) -> ScenarioFinished:
        """Wait for the scenario's verdict. Ends the session when the target is not to be had."""
        try:
            finished = self._futures[scenario.id].result()
        except TargetUnavailableError as error:
            self.aborted = str(error)
            raise pytest.exit.Exception(str(error), returncode=2) from None
        if self._forms is not None:
            finished, together = self._forms.judged(scenario, finished)
            if together and self._command is not None:
                finished = replace(finished, reproduce=self._command(*together))
        self._tell(finished)
        return finished

    def _tell(self, event: Event) -> None:
        for report in self._reports:
            report.take(event)
