"""Kong's queue with a batch size of 1, as recorded, on a virtual clock: drives the stand-in's phase and sender."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stand_in import StandIn


class VirtualQueue:
    """Runs a schedule in the form of ``kong-metering simulate`` and writes down what happened, in that form."""

    def __init__(self, schedule: Mapping[str, Any]) -> None:
        subject = {"look_up_value_in": "header", "field": "x-entry"}
        self._stand_in = StandIn({"subject": subject, "queue": schedule["queue"]})
        self._settings = self._stand_in.conf["queue"]
        assert self._settings["max_batch_size"] == 1
        self._arrivals: list[Mapping[str, Any]] = sorted(schedule["arrivals"], key=lambda one: one["t"])
        self._answers = list(schedule["ingest"])
        self._waiting: list[tuple[str, bytes]] = []
        self.tries: list[tuple[float, str, int]] = []
        self.delivered: list[str] = []
        self._stand_in.world["answer"] = self._answer
        self._ids: list[str] = []
        self._present = ""

    def run(self) -> None:
        """Run until nothing is left to do."""
        while self._waiting or self._arrivals:
            if not self._waiting:
                self._pass_to(self._arrivals[0]["t"])
                continue
            self._deliver(*self._waiting.pop(0))

    @property
    def lost(self) -> Sequence[str]:
        """The entries that were not delivered, in order of their names."""
        return sorted(set(self._ids) - set(self.delivered))

    def _deliver(self, name: str, entry: bytes) -> None:
        stand_in, settings = self._stand_in, self._settings
        started, retries, self._present = self._now, 0, name
        queue = stand_in.world["queue"]
        batch = stand_in.lua.table_from([entry.decode("latin-1")])
        while True:
            tries = len(self.tries)
            answer = queue["handler"](queue["order"], batch)
            if answer is True:
                if len(self.tries) > tries and self.tries[-1][2] < 300:
                    self.delivered.append(name)
                return
            if self._now - started > settings["max_retry_time"]:
                return
            wait = min(settings["max_retry_delay"], 2**retries * settings["initial_retry_delay"])
            self._pass_to(self._now + wait)
            retries += 1

    def _answer(self, *_: object) -> int:
        # The last answer goes on for ever.
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        self.tries.append((self._now, self._present, answer["status"]))
        self._pass_to(self._now + answer["duration"])
        status = answer["status"]
        assert isinstance(status, int)
        return status

    @property
    def _now(self) -> float:
        return float(self._stand_in.world["now"])

    def _pass_to(self, when: float) -> None:
        """Let time pass; what arrives meanwhile goes through the log phase at its moment."""
        while self._arrivals and self._arrivals[0]["t"] <= when:
            arrival = self._arrivals.pop(0)
            self._stand_in.world["now"] = arrival["t"]
            self._stand_in.world["existing"]["plugin-1"] = bool(self._waiting)
            self._ids.append(arrival["id"])
            request = {"method": "GET", "path": "/", "headers": [["x-entry", arrival["id"]]], "started_at": 0.0}
            self._stand_in.log({"request": request, "response": {"status": 200, "ended_at": 0.0}})
            self._waiting += [(arrival["id"], entry) for entry in self._stand_in.entries()]
        self._stand_in.world["now"] = when
