"""Runs scenarios side by side: a few targets, each with one scenario at a time."""

from __future__ import annotations

import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from types import TracebackType

from harness.conformance.ingest_lane import IngestEndpoint
from harness.conformance.outcome import ScenarioFinished, SubjectForm
from harness.conformance.runner import Order, Predictor, run
from harness.conformance.scenario import Scenario
from harness.targets.target import Target, TargetUnavailableError

TargetFactory = Callable[[], Target]
PredictorFactory = Callable[[SubjectForm], Target]
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

    With ``make_predictor`` each target has others beside it, which are driven by the same scenarios: one for each
    form in which Consumers are named.
    Use as a context manager; ``submit`` gives a future of the verdict.
    """

    def __init__(
        self,
        make_target: TargetFactory,
        make_endpoint: EndpointFactory,
        workers: int,
        order: Order,
        make_predictor: PredictorFactory | None = None,
    ) -> None:
        self._make_predictor = make_predictor
        self._predictors: defaultdict[SubjectForm, queue.SimpleQueue[Target]] = defaultdict(queue.SimpleQueue)
        self._make_target = make_target
        self._make_endpoint = make_endpoint
        self._order = order
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="scenario")
        self._idle: queue.SimpleQueue[Target] = queue.SimpleQueue()
        self._started: list[Target] = []
        self._endpoint: StartedEndpoint | None = None
        self._lock = threading.Lock()
        self._unavailable: str | None = None
        self._closing = False
        self._answered = False
        self._unanswered = 0
        # Never started: runs what needs no gateway.
        self._unstarted = make_target()

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close(at_once=kind is not None)

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

    def close(self, *, at_once: bool = False) -> list[str]:
        """Drop what is still queued, wait for what runs, end targets and endpoint; return what could not be ended.

        ``at_once`` ends them first, so that what runs comes to its end soon. What is returned is a line each.
        """
        self._executor.shutdown(wait=False, cancel_futures=True)
        if at_once:
            self._closing = True
            self._end_all()
        self._executor.shutdown(wait=True)
        return self._end_all()  # again: what ran may have started something meanwhile

    def _end_all(self) -> list[str]:
        ends: list[Callable[[], None]] = [target.stop for target in list(self._started)]
        if self._endpoint is not None:
            ends.append(self._endpoint.stop)
        return [trouble for trouble in map(_trouble, ends) if trouble is not None]

    def _run(self, scenario: Scenario) -> ScenarioFinished:
        over_http = scenario.kind in ("traffic", "configuration") and "proxy" in self._unstarted.capabilities
        if not over_http or self._order.profile not in scenario.profiles:
            return run(scenario, self._unstarted, None, self._order)
        try:
            endpoint = self._shared_endpoint()
            target = self._take(self._idle, self._make_target)
        except TargetUnavailableError as error:
            self._unavailable = str(error)
            raise
        beside = None if self._make_predictor is None else Predictor(self._lend, endpoint.of_predictors)
        finished = run(scenario, target, endpoint.endpoint, self._order, beside)
        if not finished.unreachable:
            self._idle.put(target)
            self._answered = True
            return finished
        _trouble(target.stop)  # the next scenario gets another one; what cannot be ended now is told of at the end
        with self._lock:
            self._unanswered += 1
            if not self._answered and self._unanswered >= DEAD_AFTER:
                self._unavailable = finished.reason
                raise TargetUnavailableError(finished.reason)
        return finished

    @contextmanager
    def _lend(self, form: SubjectForm) -> Iterator[Target]:
        """Lend a predictor that names Consumers in ``form``. Raises TargetUnavailableError."""
        assert self._make_predictor is not None
        predictor = self._take(self._predictors[form], partial(self._make_predictor, form))
        yield predictor
        self._predictors[form].put(predictor)  # not when it failed: the next scenario gets another one

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
            with self._lock:
                if self._closing:
                    raise TargetUnavailableError("the run is being ended") from None
                self._started.append(target)  # before it is up: one that comes up for long can be ended meanwhile
            target.start()
            return target


def _trouble(end: Callable[[], None]) -> str | None:
    """Call ``end``; return what it says when it fails: whatever that is, the others are ended all the same."""
    try:
        end()
    except Exception as error:
        return str(error) or type(error).__name__
    return None
