"""One stretch of load: an ingest endpoint and locust beside a gateway that is up, faults played, queues drained."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import requests

import loadtests
from harness.ingest.control import ControlError, IngestControl
from harness.targets.fake_ingest import IngestPlace
from harness.targets.target import Target, TargetUnavailableError
from loadtests import live_feed
from loadtests.assignment import VARIABLE, Assignment
from loadtests.child_process import ChildProcess
from loadtests.delivery_gaps import round_trip
from loadtests.gateway_state import gateway_state
from loadtests.ledger import Ledger, LedgerError
from loadtests.numbers import new_run
from loadtests.plan import LoadPlan
from loadtests.played import FaultTimeline, PlayedFault, PlayedRestart
from loadtests.plugins.registry import LOADED_PLUGINS
from loadtests.ports import lasting_port
from loadtests.queue_model import queue_model
from loadtests.queue_watch import QueueSample, QueueWatch
from loadtests.sending import unfinished
from loadtests.traffic import Traffic

#: What is assumed of a POST's way to the ingest endpoint and back, beside the time that the endpoint takes, where
#: neither the gateway nor a backlog tells how long POSTs take.
TRANSIT = 0.001

_LOCUSTFILE = Path(loadtests.__file__).with_name("locustfile.py")
#: Seconds locust may take to send its first request, and to end after its last.
_FIRST_REQUEST = 60.0
_LAST_REQUEST = 60.0
_POLL = 0.1
_ASSIGNMENT = "assignment.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is: ``phase`` in a word, ``seconds`` of traffic so far, what was sent, arrived and waits."""

    phase: str
    seconds: float = 0.0
    requests: int = 0
    accepted: int = 0
    waiting: int | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """What a stage stands on: a started target, where its ingest endpoint is, and the token that the plugin sends.

    ``longest_drain`` is how long to wait for what is still queued when the traffic is over, in seconds.
    """

    target: Target
    place: IngestPlace
    lane: str
    token: str = field(repr=False)
    longest_drain: float
    tell: Callable[[Progress], None] = lambda progress: None


@dataclass(frozen=True, slots=True)
class Observed:
    """What was seen from outside while a stage ran. Times are epoch seconds.

    ``drained`` tells whether nothing was left in the queues as far as can be told; ``waiting`` is how many events
    still waited when the stage was over, None where the gateway does not tell; ``told`` is its count of lost events
    by reason. ``round_trip`` is about how long a POST took, in seconds, and ``clock_tolerance`` how far the gateway's
    clock may be from ours.
    """

    run: str
    began_at: float
    ended_at: float
    over_at: float
    drained: bool
    waiting: int | None
    told: Mapping[str, int] | None
    round_trip: float
    faults: Sequence[PlayedFault]
    restarts: Sequence[PlayedRestart]
    queue_samples: Sequence[QueueSample]
    clock_tolerance: float = 0.0

    def rate(self, requests: int) -> float:
        """Return how many requests a second so many are, from the first one's beginning to the last one's end."""
        seconds = self.ended_at - self.began_at
        return requests / seconds if seconds > 0 else 0.0


def run_stage(plan: LoadPlan, directory: Path, ground: Ground) -> Observed:
    """Run ``plan``; ledgers, arrivals, capture, logs and locust's CSV files go into ``directory``.

    Every process that it starts has ended when it returns or raises. Raises TargetUnavailableError and
    ConfigurationRefusedError.
    """
    return _Stage(plan, directory, ground).run()


class _Stage:
    def __init__(self, plan: LoadPlan, directory: Path, ground: Ground) -> None:
        self._plan = plan
        self._directory = directory
        self._ground = ground
        self._target = ground.target
        self._run_id = new_run()
        self._plugin = LOADED_PLUGINS[plan.metering]
        self._queue = queue_model(plan)
        self._control = IngestControl(0)
        self._feed_url = ""
        self._requests = 0
        self._began = 0.0

    def run(self) -> Observed:
        self._directory.mkdir(parents=True, exist_ok=True)
        with ExitStack() as ending:
            self._tell("starting")
            ingest = self._ingest_process()
            ending.callback(ingest.stop)
            ready = ingest.start_and_read_ready()
            port, control_port = int(ready["port"]), int(ready["control_port"])
            self._control = IngestControl(control_port)
            self._feed_url = f"http://127.0.0.1:{control_port}{live_feed.PATH}"
            self._configure(port)
            watch = QueueWatch(self._target, shared=self._queue.shared)
            timeline = FaultTimeline(self._plan, self._control, self._ground.lane, self._target)
            locust = self._locust_process()
            ending.callback(locust.stop)
            watch.start()
            ending.callback(watch.stop)
            ending.callback(timeline.stop)
            locust.start()
            self._await_traffic(locust, ingest)
            timeline.play(self._began)
            self._await_end(locust, ingest, timeline, watch)
            timeline.wait()
            drained = self._drain(ingest, watch)
            watch.stop()
            return Observed(
                run=self._run_id,
                began_at=self._began,
                ended_at=_last_end(self._directory, self._began),
                over_at=time.time(),
                drained=drained,
                waiting=watch.waiting,
                told=watch.lost,
                round_trip=self._round_trip(watch, timeline),
                faults=tuple(timeline.faults),
                restarts=tuple(timeline.restarts),
                queue_samples=tuple(watch.samples),
                clock_tolerance=self._target.clock_tolerance,
            )

    def _ingest_process(self) -> ChildProcess:
        watched = Traffic.of(self._plan).expectations.watched()
        place = self._ground.place
        command = [sys.executable, "-m", "loadtests.ingest_process", "--directory", str(self._directory)]
        command += ["--run", self._run_id, "--metering", self._plan.metering]
        command += ["--host", place.bind, "--port", str(place.port)]
        command += [argument for path in watched for argument in ("--watch", path)]
        return ChildProcess("ingest", command, self._directory / "ingest.log")

    def _configure(self, port: int) -> None:
        """Set up the ingest lane and the gateway."""
        ground, plugin = self._ground, self._plugin
        try:
            self._control.set_lane(ground.lane, token=ground.token, profile=plugin.api, lenient=True)
        except ControlError as error:
            raise TargetUnavailableError(str(error)) from None
        endpoint = f"http://{ground.place.host}:{port}/lane/{ground.lane}{plugin.endpoint_path}"
        options = plugin.options(endpoint)
        if options and "plugin_options" not in self._target.capabilities:
            reason = f"{self._target.name} cannot be told where {plugin.name} sends to: use --target emulator"
            raise TargetUnavailableError(reason)
        if "plugin_options" in self._target.capabilities:
            self._target.set_plugin_options(options)
        self._target.apply(gateway_state(self._plan, ingest_endpoint=endpoint, api_token=ground.token))

    def _locust_process(self) -> ChildProcess:
        plan = replace(self._plan, feed_url=self._feed_url)
        path = self._directory / _ASSIGNMENT
        Assignment(plan, self._target.proxy_url, self._directory, self._run_id).write(path)
        command = [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), "--headless", "--exit-code-on-error", "0"]
        command += ["--csv", str(self._directory / "locust"), "--csv-full-history"]
        if plan.processes > 1:
            # A port of its own, on this machine alone: another load may be under way, with workers of its own.
            port = str(lasting_port())
            command += ["--processes", str(plan.processes), "--master-port", port]
            command += ["--master-bind-host", "127.0.0.1", "--master-bind-port", port]
        environ = {**os.environ, VARIABLE: str(path)}
        return ChildProcess("locust", command, self._directory / "locust.log", environ)

    def _await_traffic(self, locust: ChildProcess, ingest: ChildProcess) -> None:
        """Return when the first request has begun. Raises TargetUnavailableError when none does."""
        self._tell("starting locust")
        deadline = time.monotonic() + _FIRST_REQUEST
        while True:
            self._check(locust, ingest)
            first = _first_request(self._directory)
            if first is not None:
                self._began = first
                return
            if time.monotonic() > deadline:
                raise TargetUnavailableError(
                    f"locust has sent nothing for {_FIRST_REQUEST:g} s: {locust.last_words()}"
                )
            time.sleep(_POLL / 2)

    def _await_end(
        self, locust: ChildProcess, ingest: ChildProcess, timeline: FaultTimeline, watch: QueueWatch
    ) -> None:
        """Return when locust has ended by itself."""
        deadline = time.monotonic() + self._plan.duration + _LAST_REQUEST
        while locust.running:
            self._check(None, ingest)
            if timeline.failed:
                timeline.wait()  # raises what it is
            if time.monotonic() > deadline:
                raise TargetUnavailableError(
                    f"locust has not ended {_LAST_REQUEST:g} s after the traffic: {locust.last_words()}"
                )
            self._tell("sending", watch)
            locust.wait(0.5)
        if locust.exit_code:
            raise TargetUnavailableError(f"locust ended with exit code {locust.exit_code}: {locust.last_words()}")
        if killed := unfinished(self._directory):
            names = ", ".join(str(worker) for worker in killed)
            reason = (
                "what was asked for was not sent; look for what killed it (out of memory?) and run the load again"
            )
            raise TargetUnavailableError(f"locust's worker {names} was killed during the load: {reason}")

    def _drain(self, ingest: ChildProcess, watch: QueueWatch) -> bool:
        """Wait for what is still queued; return whether nothing is left, as far as can be told."""
        quiet = self._queue.longest_silence(self._plan.fault_timeline())
        deadline = time.monotonic() + self._ground.longest_drain
        arrived, since = -1, time.monotonic()
        while True:
            self._check(None, ingest)
            if self._target.idle():
                return True
            now, count = time.monotonic(), self._accepted()
            if count != arrived:
                arrived, since = count, now
            elif now - since > quiet and watch.waiting is None:
                return True
            if now > deadline:
                return False
            self._tell("draining", watch)
            time.sleep(_POLL)

    def _check(self, locust: ChildProcess | None, ingest: ChildProcess) -> None:
        """Raise TargetUnavailableError when a process has ended that must not have."""
        for process in (locust, ingest):
            if process is not None and not process.running:
                raise TargetUnavailableError(
                    f"the {process.name} process ended with exit code {process.exit_code}: {process.last_words()}"
                )

    def _accepted(self) -> int:
        try:
            return self._control.counts(self._ground.lane)["accepted"]
        except ControlError as error:
            raise TargetUnavailableError(str(error)) from None

    def _round_trip(self, watch: QueueWatch, timeline: FaultTimeline) -> float:
        """Return about how long a POST takes while nothing is wrong, in seconds."""
        disturbed = [(fault.began_at, fault.ended_at + fault.lingers) for fault in timeline.faults]
        disturbed += [(restart.began_at, restart.ended_at) for restart in timeline.restarts]
        seen = watch.round_trip(disturbed)
        if seen is None and self._queue.in_order:
            with suppress(OSError, ValueError):  # the account will say what is wrong with the files
                seen = round_trip(self._directory, self._queue.batch_size, disturbed)
        if seen is not None:
            return seen
        try:
            page = requests.get(self._feed_url, params={"after": str(1 << 62)}, timeout=10).json()
        except requests.RequestException as error:
            raise TargetUnavailableError(f"ingest control: {type(error).__name__}") from None
        return float(page["mean_service_seconds"] or 0.0) + TRANSIT

    def _tell(self, phase: str, watch: QueueWatch | None = None) -> None:
        if watch is None:
            self._ground.tell(Progress(phase))
            return
        requests_sent = len(Ledger.read(self._directory))
        waiting = watch.waiting
        self._ground.tell(
            Progress(phase, time.time() - self._began, requests_sent, self._accepted(), waiting),
        )


def _last_end(directory: Path, began: float) -> float:
    """Return when the last request of the run was over."""
    return max((float(rows["ended_at"].max()) for _, _, rows in Ledger.read(directory).chunks()), default=began)


def _first_request(directory: Path) -> float | None:
    """Return when the first request of the run began, None when there is none yet."""
    if not any(directory.glob("ledger-*.bin")):
        return None
    try:
        ledger = Ledger.read(directory)
        heads = [next(replace(ledger, workers=(worker,)).chunks(1), None) for worker in ledger.workers]
    except LedgerError:  # one that has just been made
        return None
    return min((float(head[2]["started_at"][0]) for head in heads if head is not None), default=None)
