"""The beginning and end of a run in each of locust's processes.

The process that decides (the only one, or the master) draws the run's id, writes the table of expectations, and
tells the workers before they start users. Each process that sends has a ledger of its own in the directory of the
run, named after its index. Every start of a test, in locust's web interface too, is a run of its own.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import sys
import time
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from locust.env import Environment
from locust.event import Events
from locust.rpc import Message
from locust.runners import MasterRunner, WorkerRunner

from loadtests.assignment import VARIABLE, Assignment
from loadtests.billing_feed import BillingFeed
from loadtests.ledger import LedgerError
from loadtests.numbers import new_run
from loadtests.plan import PLAN_FILE, LoadPlan
from loadtests.sending import Sending
from loadtests.shapes import PlanShape
from loadtests.traffic import Traffic
from loadtests.users import USER_CLASSES, NumberedUser
from plugin_emulator.documents import InvalidDocument

DEFAULT_DIRECTORY = Path("load-run")

_MESSAGE = "load_run"
#: Seconds that users have to wait for the answers under way when the load ends. A user that is cut off leaves a
#: request of which nobody knows whether it must be billed.
_FINISH_TIMEOUT = 30.0
_USAGE = 2

logger = logging.getLogger(__name__)


def install(events: Events) -> None:
    """Make the load test of what ``events``, locust's own, tell: options, runs, ledgers, billing latencies."""
    events.init_command_line_parser.add_listener(_add_options)
    events.init.add_listener(_on_init)


class Runs:
    """The runs of one locust process that decides: a local runner, or the master."""

    def __init__(
        self, environment: Environment, plan: LoadPlan, assignment: Assignment | None, *, shaped: bool
    ) -> None:
        """``shaped``: the plan says how many users there are; otherwise locust's own options do."""
        self._environment = environment
        self._plan = plan
        self._assignment = assignment
        self._shaped = shaped
        self._assigned_used = False
        self._present: dict[str, Any] | None = None
        self._feed: BillingFeed | None = None

    def begin(self, **_: Any) -> None:
        """Begin a run: called when a test starts, before any user does."""
        runner = self._environment.runner
        assert runner is not None
        plan = self._plan
        if not self._shaped:
            plan = dataclasses.replace(plan, users=max(runner.target_user_count, 1))
        run, directory = self._next_run()
        self._present = {"plan": plan.to_json(), "run": run, "directory": str(directory)}
        try:
            directory.mkdir(parents=True, exist_ok=True)
            Traffic.of(plan).expectations.write(directory)
            plan.write(directory / PLAN_FILE)
        except OSError as error:
            _give_up(self._environment, f"{directory}: cannot be written: {error.strerror}")
            return
        logger.info("Run %s: ledger in %s", run, directory)
        if isinstance(runner, MasterRunner):
            runner.send_message(_MESSAGE, self._present)
        else:
            _begin_sending(self._environment, self._present, worker=0)
        if plan.feed_url is not None:
            self._feed = BillingFeed(self._environment, plan.feed_url)
            self._feed.start()

    def tell(self, client_id: str, **_: Any) -> None:
        """Tell a worker that joined of the run that is under way."""
        if self._present is not None and isinstance(self._environment.runner, MasterRunner):
            self._environment.runner.send_message(_MESSAGE, self._present, client_id)

    def end(self, **_: Any) -> None:
        """End the run: called when no user is left."""
        self._present = None
        if self._feed is not None:
            self._feed.stop()
            self._feed = None
        _end_sending()

    def _next_run(self) -> tuple[str, Path]:
        """Return id and directory. The one assigned is used once; later ones have directories of their own."""
        run = new_run()
        if self._assignment is None:
            options = self._environment.parsed_options
            return run, Path(DEFAULT_DIRECTORY if options is None else options.ledger) / run
        directory = self._assignment.directory
        if self._assigned_used:
            return run, directory / run
        self._assigned_used = True
        return self._assignment.run, directory


def _add_options(parser: ArgumentParser) -> None:
    hidden: Any = {"include_in_web_ui": False}
    plan = "Load plan; its shape takes the place of -u, -r and -t"
    rate = "Requests per second of all users together; 0: as fast as it goes"
    ledger = "Directory in which each run gets one for its ledger"
    parser.add_argument("--plan", metavar="FILE", help=plan, **hidden)
    parser.add_argument("--rate", type=float, metavar="N", help=rate, **hidden)
    parser.add_argument("--ledger", metavar="DIR", default=str(DEFAULT_DIRECTORY), help=ledger, **hidden)


def _on_init(environment: Environment, **_: Any) -> None:
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        # Before any "spawn" of the same run: messages from the master come in the order in which it sent them.
        announced: dict[str, Any] = {}
        runner.register_message(_MESSAGE, lambda environment, msg, **_: _announced(announced, msg))
        environment.events.test_start.add_listener(
            lambda environment, **_: _begin_sending(environment, announced, runner.worker_index)
        )
        environment.events.test_stopping.add_listener(_stopping)
        environment.events.test_stop.add_listener(lambda **_: _end_sending())
        return
    plan, assignment, shaped = _plan(environment)
    environment.stop_timeout = environment.stop_timeout or _FINISH_TIMEOUT
    if assignment is not None and environment.host is None:
        environment.host = assignment.proxy_url
    _set_weights(environment, plan)
    if shaped:
        environment.shape_class = PlanShape(plan)
        environment.shape_class.runner = runner
    runs = Runs(environment, plan, assignment, shaped=shaped)
    environment.events.test_start.add_listener(runs.begin)
    environment.events.test_stopping.add_listener(_stopping)
    environment.events.test_stop.add_listener(runs.end)
    environment.events.worker_connect.add_listener(runs.tell)


def _plan(environment: Environment) -> tuple[LoadPlan, Assignment | None, bool]:
    """Return the plan, whoever assigned it, and whether it says how many users there are."""
    options = environment.parsed_options
    given, rate = (None, None) if options is None else (options.plan, options.rate)
    try:
        if VARIABLE in os.environ:
            assignment = Assignment.read(Path(os.environ[VARIABLE]))
            return assignment.plan, assignment, True
        plan = LoadPlan() if given is None else LoadPlan.read(Path(given))
        if rate is not None:
            plan = LoadPlan.from_json({**plan.to_json(), "rate": rate})
    except InvalidDocument as error:
        _exit(str(error))
    return plan, None, given is not None


def _set_weights(environment: Environment, plan: LoadPlan) -> None:
    """Share the users out as the plan says, unless the command line names user classes."""
    for kind, user_class in USER_CLASSES.items():
        user_class.weight = plan.weights[kind]
    options = environment.parsed_options
    idle = [each for each in environment.user_classes if each.weight == 0]
    if options is not None and options.user_classes and idle:
        _exit(f"{idle[0].__name__} has no weight in the plan: give it one with --plan, or leave it out")
    environment.user_classes[:] = [each for each in environment.user_classes if each.weight]


def _announced(into: dict[str, Any], message: Message) -> None:
    into.clear()
    into.update(message.data)


def _begin_sending(environment: Environment, run: Mapping[str, Any], worker: int) -> None:
    if not run:
        _give_up(environment, "the master did not say which run this is: start it with the same locustfile")
        return
    plan = LoadPlan.from_json(run["plan"])
    try:
        NumberedUser.sending = Sending(plan, run["run"], worker, Path(run["directory"]))
    except LedgerError as error:
        _give_up(environment, str(error))
    except OSError as error:
        _give_up(environment, f"{run['directory']}: cannot be written: {error.strerror}")


def _stopping(**_: Any) -> None:
    if NumberedUser.sending is not None:
        NumberedUser.sending.stopping(time.monotonic())


def _end_sending() -> None:
    if NumberedUser.sending is not None:
        NumberedUser.sending.close()
        NumberedUser.sending = None


def _give_up(environment: Environment, message: str) -> None:
    """End a test that cannot go on. Without Sending, no user sends anything."""
    logger.error(message)
    environment.process_exit_code = _USAGE
    if environment.runner is not None:
        environment.runner.greenlet.spawn(environment.runner.quit)


def _exit(message: str) -> NoReturn:
    sys.stderr.write(f"{message}\n")
    sys.exit(_USAGE)
