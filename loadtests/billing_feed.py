"""Billing latency and batch sizes in locust's own tables and CSV files, while the load runs.

The ingest process counts what arrives; once a second the master, or the only process, asks it what is new since then
and adds it to two rows of the type BILL. Locust rounds what it shows: the exact figures are those of the report.

The answer to ``GET <feed_url>?after=<n>`` is ``{"next": n, "latencies": [[seconds, count], …],
"batches": [[events, count], …]}``; ``next`` is the ``after`` of the next question, the first is 0.
"""

from __future__ import annotations

import logging
from typing import Any

import gevent
import msgspec
import requests
from locust.env import Environment
from locust.stats import StatsEntry, bucket_response_time

ROW_TYPE = "BILL"
LATENCY = "latency"
BATCH_SIZE = "batch size"

_EVERY = 1.0
_TIMEOUT = 5.0

logger = logging.getLogger(__name__)


class FeedPage(msgspec.Struct, frozen=True):
    """What is new: pairs of a latency in seconds, or a batch's size in events, and how often it was seen."""

    next: int
    latencies: list[tuple[float, int]]
    batches: list[tuple[int, int]]


class BillingFeed:
    """Asks one feed, in a greenlet of its own, and adds what it says to an environment's statistics."""

    def __init__(self, environment: Environment, url: str) -> None:
        self._environment = environment
        self._url = url
        self._after = 0
        self._silent = False
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        """Begin to ask."""
        self._greenlet = gevent.spawn(self._follow)

    def stop(self) -> None:
        """Ask a last time, and no more."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None
            self.ask()

    def ask(self) -> None:
        """Ask once. A feed that does not answer, or not in its form, is logged once until it does again."""
        try:
            answer = requests.get(self._url, params={"after": self._after}, timeout=_TIMEOUT)
            answer.raise_for_status()
            page = msgspec.json.decode(answer.content, type=FeedPage)
        except (requests.RequestException, msgspec.DecodeError) as error:
            if not self._silent:
                logger.warning("no billing latencies from %s: %s", self._url, error)
            self._silent = True
            return
        self._silent = False
        self._after = page.next
        # Into the rows alone: in the total of all requests they would count as requests.
        stats = self._environment.stats
        for seconds, count in page.latencies:
            add(stats.get(LATENCY, ROW_TYPE), seconds * 1000, count)
        for events, count in page.batches:
            add(stats.get(BATCH_SIZE, ROW_TYPE), float(events), count)

    def _follow(self) -> None:
        while True:
            self.ask()
            gevent.sleep(_EVERY)


def add(row: StatsEntry, value: float, count: int) -> None:
    """Add ``value`` to a row ``count`` times, as ``count`` calls of ``row.log(value, 0)`` would, at once."""
    if count <= 0:
        return
    entry: Any = row  # declared for whole milliseconds; locust itself gives fractions
    entry.log(value, 0)
    more = count - 1
    entry.num_requests += more
    entry.num_reqs_per_sec[int(entry.last_request_timestamp)] += more
    entry.total_response_time += value * more
    entry.response_times[bucket_response_time(value)] += more
