"""Plays a plan's faults and restarts while the load runs, and writes down what was played when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.ingest.control import ControlError, IngestControl
from harness.ingest.faults import FaultScript
from harness.targets.process import FINISH_TIMEOUT
from harness.targets.target import Stop, Target, TargetUnavailableError
from loadtests.fault_timeline import in_words
from loadtests.plan import IngestFault, LoadPlan, Restart
from loadtests.prediction import FaultWindow, RestartWindow

#: Seconds that a restart may take beyond the gateway's own time to finish.
_LONGEST_RESTART = 180.0
#: Seconds that a gateway in a container has to finish its work (``harness.targets.docker_kong``).
_CONTAINER_GRACE = 30.0


@dataclass(frozen=True, slots=True)
class PlayedFault:
    """A fault of the ingest endpoint, from ``began_at`` to ``ended_at`` (epoch seconds)."""

    fault: Any
    began_at: float
    ended_at: float

    @property
    def lingers(self) -> float:
        """Seconds by which an answer may come after the fault's end because of it."""
        return self.window().fault.delay

    def window(self) -> FaultWindow:
        """Return it in the form that losses are predicted from."""
        (step,) = FaultScript.parse([self.fault]).steps
        return FaultWindow(self.began_at, self.ended_at, step)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {
            "fault": self.fault,
            "about": in_words(self.fault),
            "began_at": self.began_at,
            "ended_at": self.ended_at,
        }


@dataclass(frozen=True, slots=True)
class PlayedRestart:
    """A restart of the gateway: told to stop at ``began_at``, serving again at ``ended_at`` (epoch seconds).

    ``grace`` is how many seconds it had to finish its work before it was killed, if it was asked to.
    """

    how: Stop
    began_at: float
    ended_at: float
    grace: float = FINISH_TIMEOUT

    def window(self) -> RestartWindow:
        """Return it in the form that losses are predicted from."""
        return RestartWindow(self.began_at, self.ended_at, self.how, self.grace)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON data."""
        return {"how": self.how, "began_at": self.began_at, "ended_at": self.ended_at}


class FaultTimeline:
    """Plays what a plan says, in two threads: no fault is kept waiting by a gateway that takes its time to stop."""

    def __init__(self, plan: LoadPlan, control: IngestControl, lane: str, target: Target) -> None:
        self.faults: list[PlayedFault] = []
        self.restarts: list[PlayedRestart] = []
        self._plan = plan
        self._control = control
        self._lane = lane
        self._target = target
        self._over = threading.Event()
        self._failure: Exception | None = None
        self._threads: list[threading.Thread] = []
        self.restarting = False

    def play(self, began: float) -> None:
        """Begin; ``began`` is when the traffic did (epoch seconds)."""
        offset = time.monotonic() - (time.time() - began)
        for what, entries, act in (
            ("faults", self._plan.fault_timeline(), self._fault),
            ("restarts", self._plan.restarts, self._restart),
        ):
            if entries:
                name = f"load-{what}"
                thread = threading.Thread(target=self._follow, args=(entries, act, offset), name=name, daemon=True)
                thread.start()
                self._threads.append(thread)

    def wait(self) -> None:
        """Return when all of it was played. Raises TargetUnavailableError when something could not be."""
        for thread in self._threads:
            thread.join(self._plan.duration + _LONGEST_RESTART)
        if self._failure is not None:
            raise TargetUnavailableError(f"a fault could not be played: {self._failure}") from None

    def stop(self) -> None:
        """Play no more, and wait for what is being done."""
        self._over.set()
        for thread in self._threads:
            thread.join(_LONGEST_RESTART)

    @property
    def failed(self) -> bool:
        """Whether something could not be played."""
        return self._failure is not None

    def _follow(self, entries: tuple[Any, ...], act: Callable[[Any], None], offset: float) -> None:
        try:
            for entry in entries:
                if self._over.wait(max(0.0, offset + entry.at - time.monotonic())):
                    return
                act(entry)
        except (ControlError, TargetUnavailableError) as error:
            self._failure = error

    def _fault(self, entry: IngestFault) -> None:
        self._control.set_fault(self._lane, entry.fault, entry.lasts)
        began = time.time()
        self.faults.append(PlayedFault(entry.fault, began, began + entry.lasts))

    def _restart(self, entry: Restart) -> None:
        began = time.time()
        self.restarting = True
        try:
            self._target.restart(entry.how)
        finally:
            self.restarting = False
        grace = _CONTAINER_GRACE if self._target.name == "docker" else FINISH_TIMEOUT
        self.restarts.append(PlayedRestart(entry.how, began, time.time(), grace))
