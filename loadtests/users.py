"""The users of a load test, for locust: who they are to the gateway, and what each request leaves in the ledger.

A request is in the ledger before it leaves, under the number that it carries; what came of it is there as soon as
it is known. The cost of a request in Python is what limits a load test, so everything but its number is made before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import ClassVar, NoReturn

from locust import FastHttpUser, task
from locust.exception import CatchResponseError, StopUser

from loadtests.gateway_connection import NO_ANSWER, GatewayConnection
from loadtests.ledger import LedgerError
from loadtests.plan import TrafficKind
from loadtests.sending import Sending

logger = logging.getLogger(__name__)

_OK = 200
_CANNOT_GO_ON = 2


class NumberedUser(FastHttpUser):
    """A user whose requests are numbered and in the ledger. ``kind`` says which of the plan's requests it sends."""

    abstract = True
    kind: ClassVar[TrafficKind]
    #: What this process sends of the present run; set before users start.
    sending: ClassVar[Sending | None] = None
    _stopped = False

    def on_start(self) -> None:
        """Prepare everything that the requests have in common, and wait for the first one's turn."""
        sending = NumberedUser.sending
        if sending is None:
            if self.environment.process_exit_code is None:
                logger.error("no run has begun: use loadtests/locustfile.py, or loadtests.runs.install in your own")
            self._stopped = True
            return
        self._sending = sending
        index = sending.new_user()
        self._requests = sending.requests(self.kind, str(self.host))
        self._position = index % len(self._requests)
        self._ledger = sending.ledger
        self._connection = GatewayConnection(
            str(self.host),
            connect_timeout=self.connection_timeout,
            answer_timeout=self.network_timeout,
            verify=not self.insecure,
        )
        self._timetable = sending.timetable(index, time.monotonic())
        self.wait()  # type: ignore[no-untyped-call]

    def on_stop(self) -> None:
        """Count what was left unsent."""
        if hasattr(self, "_timetable"):
            self._sending.end(self._timetable, time.monotonic())
            self._connection.close()

    def stop(self, force: bool = False) -> bool:
        """Stop, by locust's rules. No further request begins, though it may be due by the time the user is killed."""
        self._stopped = True
        return bool(super().stop(force))

    def wait_time(self) -> float:
        """Return the seconds until the next request is due."""
        return self._timetable.wait(time.monotonic())

    @task
    def send(self) -> None:
        """Send the next request, once."""
        if self._stopped:
            raise StopUser
        request = self._requests[self._position]
        self._position = (self._position + 1) % len(self._requests)
        planned = request.planned
        error: Exception | None = None
        started_at = time.time()
        try:
            n = self._ledger.begin(planned.expectation, started_at)
        except LedgerError as ledger_error:
            self._give_up(ledger_error)
        started = time.perf_counter()
        self._timetable.sends(time.monotonic())
        try:
            status, length = self._connection.exchange(b"%b%010d%b" % (request.head, n, request.tail), planned.method)
        except NO_ANSWER as no_answer:
            status, length, error = 0, 0, no_answer
        took = time.perf_counter() - started
        self._ledger.end(n, status, started_at + took)
        if error is None and status != _OK:
            error = CatchResponseError(f"answered {status} instead of {_OK}")
        self.environment.events.request.fire(
            request_type=planned.method,
            name=planned.name,
            response_time=took * 1000,
            response_length=length,
            exception=error,
            context={},
            start_time=started_at,
            url=planned.target,
            response=None,
        )

    def _give_up(self, error: LedgerError) -> NoReturn:
        """End the run: a request that is not in the ledger must not leave."""
        logger.error("%s", error)
        self.environment.process_exit_code = _CANNOT_GO_ON
        runner, options = self.environment.runner, self.environment.parsed_options
        assert runner is not None
        if options is not None and options.headless:
            runner.quit()
        else:
            runner.stop()
        raise StopUser


class ConsumerKeyUser(NumberedUser):
    """Sends with Consumers' API keys; each request is billed to the key's Consumer."""

    kind = "consumer"


class TenantHeaderUser(NumberedUser):
    """Sends with a header that names the tenant who is billed."""

    kind = "tenant"


class MissingSubjectUser(NumberedUser):
    """Sends without that header; none of its requests may be billed (DRP-1)."""

    kind = "missing"


class AiChatUser(NumberedUser):
    """Chats with a language model; each request is billed by itself and by prompt and answer tokens (EVT-9)."""

    kind = "ai"


#: The user class of each kind of traffic.
USER_CLASSES: Mapping[TrafficKind, type[NumberedUser]] = {
    each.kind: each for each in (ConsumerKeyUser, TenantHeaderUser, MissingSubjectUser, AiChatUser)
}
