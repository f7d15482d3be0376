"""One locust process that sends as fast as it goes: ``python -m loadtests.benchmarks.user_load KIND URL``.

KIND is ``numbered``, the load test's users with their ledger, or ``plain``, locust's own FastHttpUser with the same
requests. For each line with a number of requests on standard input it prints the microseconds of CPU that one took.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import gevent.event
from locust import FastHttpUser, task
from locust.env import Environment
from locust.user.wait_time import constant

from loadtests.benchmarks.users import USERS
from loadtests.numbers import new_run
from loadtests.plan import LoadPlan
from loadtests.sending import Sending
from loadtests.traffic import Traffic
from loadtests.users import ConsumerKeyUser, NumberedUser


class PlainUser(FastHttpUser):
    """What one would write without a ledger: the same paths and keys, by locust's client."""

    wait_time = constant(0)

    def on_start(self) -> None:
        """Prepare the requests, as the load test's users do."""
        self._requests = [
            (request.target, request.name, dict(request.headers))
            for request in Traffic.of(LoadPlan()).requests["consumer"]
        ]
        self._position = 0

    @task
    def send(self) -> None:
        """Send the next request."""
        target, name, headers = self._requests[self._position]
        self._position = (self._position + 1) % len(self._requests)
        self.client.get(target, name=name, headers=headers)


def measure(user_class: type[FastHttpUser], url: str, number: int) -> float:
    """Send at least ``number`` requests; return the CPU time of one in microseconds, and fail if one failed."""
    environment = Environment(user_classes=[user_class], host=url, stop_timeout=10)
    runner = environment.create_local_runner()
    enough = gevent.event.Event()

    def count(**_: Any) -> None:
        if environment.stats.total.num_requests >= number:
            enough.set()

    environment.events.request.add_listener(count)
    began = time.process_time()
    runner.start(USERS, spawn_rate=USERS)
    enough.wait()
    took = time.process_time() - began
    sent = environment.stats.total.num_requests
    runner.quit()
    if environment.stats.total.num_failures:
        raise RuntimeError(f"{environment.stats.total.num_failures} requests failed")
    return took / sent * 1e6


def main() -> None:
    """Measure as often as asked, with a ledger in a temporary directory."""
    kind, url = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for index, line in enumerate(sys.stdin):
            user_class: type[FastHttpUser] = PlainUser
            if kind == "numbered":
                plan = LoadPlan.from_json({"rate": 0, "users": USERS})
                NumberedUser.sending = Sending(plan, new_run(), 0, Path(directory) / str(index))
                user_class = ConsumerKeyUser
            figure = measure(user_class, url, int(line))
            if NumberedUser.sending is not None:
                NumberedUser.sending.close()
            sys.stdout.write(f"{figure}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
