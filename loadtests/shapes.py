"""How many users locust runs at what time: a plan's shape (steady, ramp, spike, soak or outage), for locust."""

from __future__ import annotations

from locust import LoadTestShape

from loadtests.plan import LoadPlan

#: Users that one process starts in a second; locust warns of more.
_SPAWNED_PER_SECOND = 100


class PlanShape(LoadTestShape):
    """Follows a plan's shape and ends the load after the plan's duration."""

    abstract = True  # made for a plan; not one that locust can make itself

    def __init__(self, plan: LoadPlan) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._plan = plan

    def tick(self) -> tuple[int, float] | None:
        """Return how many users there shall be now and how many may start in a second; None when the load is over."""
        seconds = self.get_run_time()  # type: ignore[no-untyped-call]
        if seconds >= self._plan.duration:
            return None
        return self._plan.users_at(seconds), float(_SPAWNED_PER_SECOND * self._plan.processes)
