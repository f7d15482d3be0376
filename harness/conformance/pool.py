"""Runs scenarios side by side: a few targets, each with one scenario at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from harness.conformance.ingest_lane import IngestEndpoint
from harness.conformance.outcome import ScenarioFinished
from harness.conformance.runner import Order, Predictor, run
from harness.conformance.scenario import Scenario
from harness.targets.target import Target, TargetUnavailableError

TargetFactory = Callable[[], Target]
EndpointFactory = Callable[[], "StartedEndpoint"]


#: After so many scenarios that a target did not answer, and none that it did, there is nothing to be tested.
DEAD_AFTER = 3


class StartedEndpoint:
    """An ingest endpoint that is up, how to end it, and the one for predictors (None: the same)."""

    def __init__(
        self, endpoint: IngestEndpoint, stop: Callable[[], None], of_predictors: IngestEndpoint | None = None
    ) -> None:
        self.endpoint = endpoint
        self.stop = stop
        self.of_predictors = of_predictors or endpoint


class Pool:
    """``workers`` targets and one ingest endpoint, started only when a scenario needs them.

    With ``make_predictor`` each target has another beside it, which is driven by the same scenarios.
    Use as a context manager; ``submit`` gives a future of the verdict.
    """

    def __init__(
        self,
        make_target: TargetFactory,
        make_endpoint: EndpointFactory,
        workers: int,
        order: Order,
        make_predictor: TargetFactory | None = None,
    ) -> None:
        self._make_predictor = make_predictor
        self._predictors: queue.SimpleQueue[Target] = queue.SimpleQueue()
        self._make_target = make_target
        self._make_endpoint = make_endpoint
        self._order = order
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="scenario")
        self._idle: queue.SimpleQueue[Target] = queue.SimpleQueue()
        self._started: list[Target] = []
        self._endpoint: StartedEndpoint | None = None
        self._lock = threading.Lock()
        self._unavailable: str | None = None
        self._answered = False
        self._unanswered = 0
        # Never started: runs what needs no gateway.
        self._unstarted = make_target()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def unavailable(self) -> str | None:
        """Why no target or endpoint could be started, or None."""
        return self._unavailable

    def submit_all(
        self, scenarios: Sequence[Scenario], *, in_order: bool = False
    ) -> dict[str, Future[ScenarioFinished]]:
        """Queue all scenarios; return a future by scenario id.

        The ones over HTTP go first as they take longest, unless they are to be begun ``in_order``.
        """
        ordered = list(scenarios)
        if not in_order:
            ordered.sort(key=lambda scenario: scenario.kind not in ("traffic", "configuration"))
        return {scenario.id: self._executor.submit(self._run, scenario) for scenario in ordered}

    def close(self) -> None:
        """Drop what is still queued, wait for what runs, end targets and endpoint."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        for target in self._started:
            target.stop()
        if self._endpoint is not None:
            self._endpoint.stop()

    def _run(self, scenario: Scenario) -> ScenarioFinished:
        over_http = scenario.kind in ("traffic", "configuration") and "proxy" in self._unstarted.capabilities
        if not over_http or self._order.profile not in scenario.profiles:
            return run(scenario, self._unstarted, None, self._order)
        try:
            endpoint = self._shared_endpoint()
            target = self._take(self._idle, self._make_target)
            predictor = None
            if self._make_predictor is not None:
                predictor = self._take(self._predictors, self._make_predictor)
        except TargetUnavailableError as error:
            self._unavailable = str(error)
            raise
        beside = None if predictor is None else Predictor(predictor, endpoint.of_predictors)
        finished = run(scenario, target, endpoint.endpoint, self._order, beside)
        if predictor is not None:
            self._predictors.put(predictor)
        if not finished.unreachable:
            self._idle.put(target)
            self._answered = True
            return finished
        target.stop()  # the next scenario gets another one
        with self._lock:
            self._unanswered += 1
            if not self._answered and self._unanswered >= DEAD_AFTER:
                self._unavailable = finished.reason
                raise TargetUnavailableError(finished.reason)
        return finished

    def _shared_endpoint(self) -> StartedEndpoint:
        with self._lock:
            if self._unavailable is not None:
                raise TargetUnavailableError(self._unavailable)
            if self._endpoint is None:
                self._endpoint = self._make_endpoint()
            return self._endpoint

    def _take(self, idle: queue.SimpleQueue[Target], make: TargetFactory) -> Target:
        try:
            return idle.get_nowait()
        except queue.Empty:
            target = make()
            target.start()
            with self._lock:
                self._started.append(target)
            return target
