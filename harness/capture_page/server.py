"""The server of the capture page: static files, and what the page asks, as JSON. It only reads, and only answers GET.

===================  ==========================================================================================
``/api/state``       how many events there are, how far the index is, what went wrong; cheap, to be asked again
``/api/events``      the events of a filter from ``start`` on, ``count`` of them, with counts by subject and verdict
``/api/timeline``    when the events of a filter arrived, and the tries of their batches
``/api/event``       one event's life: ``place`` of its request, ``position`` in the body
``/api/request``     one request: ``place``
``/api/key``         what an id or value names, here and in the gateway's journal
``/api/not-billed``  the requests that the gateway did not bill
===================  ==========================================================================================

A filter is ``text``, ``subject`` and ``type`` (JSON), ``lane``, ``verdict``, ``since``, ``until``, ``request``.
"""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from harness.capture.errors import CaptureError, CaptureFormatError
from harness.capture_page.asking import WrongQuestion, filter_of, number_of
from harness.capture_page.explanations import GatewaySide, explain_entry, explain_key, explain_request
from harness.capture_page.filter import Filter, Found
from harness.capture_page.guard import guarded
from harness.capture_page.index import VERDICTS
from harness.capture_page.search_text import Superseded
from harness.capture_page.source import CaptureSource
from harness.capture_page.timeline import timeline
from harness.capture_page.work import beside
from harness.journal.file import JournalError
from harness.report.html_page import page_style_files

#: Most events in one answer, and most subjects.
PAGE, MOST_SUBJECTS = 500, 200
#: Seconds that a question for the state waits for the index to catch up.
_CATCH_UP = 0.25
_STATIC = Path(__file__).with_name("static")
_TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class CapturePage:
    """Serves the page on ``capture``, a database, shown as ``name``, and on a gateway's ``journal``, if any."""

    def __init__(self, capture: Path, name: str, journal: Path | None = None) -> None:
        self._source = CaptureSource(capture)
        self._name = name
        self._gateway = None if journal is None else GatewaySide(journal)
        self._drawing = threading.Lock()
        self._growth: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen on ``host``:``port`` (0: any free port) and begin to read; return the port. Raises OSError."""
        app = web.Application(middlewares=[guarded(host), _told])
        app.add_routes(
            [
                web.get("/api/state", self._state, allow_head=False),
                web.get("/api/events", self._events, allow_head=False),
                web.get("/api/timeline", self._timeline, allow_head=False),
                web.get("/api/event", self._event, allow_head=False),
                web.get("/api/request", self._request, allow_head=False),
                web.get("/api/key", self._key, allow_head=False),
                web.get("/api/not-billed", self._not_billed, allow_head=False),
                *(web.get(path, partial(_file, *file), allow_head=False) for path, file in _files().items()),
            ]
        )
        # A page that asks anew closes the connection of what it does not wait for any more.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.0, handler_cancellation=True)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self._growing()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening, and reading."""
        if self._growth is not None:
            self._growth.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _growing(self) -> asyncio.Task[None]:
        if self._growth is None or self._growth.done():
            self._growth = asyncio.create_task(beside(self._source.grow))
        return self._growth

    async def _state(self, request: web.Request) -> web.Response:
        await asyncio.wait([self._growing()], timeout=_CATCH_UP)
        state = self._source.state()
        totals = state.totals
        first, last = totals.arrived or (None, None)
        return _json(
            {
                "name": self._name,
                "generation": state.generation,
                "events": totals.events,
                "requests": totals.requests,
                "read": totals.last_place,
                "last_place": state.last_place,
                "problem": state.problem,
                "types": totals.types,
                "lanes": totals.lanes,
                "first": first,
                "last": last,
                "journal": None
                if self._gateway is None
                else {"name": self._gateway.path.name, "size": self._gateway.size()},
            }
        )

    async def _events(self, request: web.Request) -> web.Response:
        wanted, start = filter_of(request), number_of(request, "start", 0)
        count = min(number_of(request, "count", 100), PAGE)
        newest, counted = "newest" in request.query, "counts" in request.query

        def answer(stop: Any) -> dict[str, Any]:
            now = self._source.now()
            found = now.find(wanted, stop)
            first = max(len(found.events) - count, 0) if newest else start
            told = {
                "generation": now.generation,
                "events": now.contents.events,
                "found": len(found.events),
                "start": first,
                "rows": self._source.rows(now.contents, found.events[first : first + count]),
            }
            return told | (_counts(found, wanted, now.contents.subjects) if counted else {})

        return _json(await beside(answer))

    async def _timeline(self, request: web.Request) -> web.Response:
        wanted = filter_of(request)

        def answer(stop: Any) -> dict[str, Any] | None:
            with self._drawing:  # one at a time: a page that does not wait any more has it done for nobody
                if stop.is_set():
                    raise Superseded
                now = self._source.now()
                made = timeline(now.contents, wanted, now.find(wanted, stop))
            return None if made is None else dataclasses.asdict(made)

        return _json(await beside(answer))

    async def _event(self, request: web.Request) -> web.Response:
        place, position = number_of(request, "place"), number_of(request, "position")
        life = await beside(partial(explain_entry, self._source, place, position))
        if life is None:
            return _problem(404, "the capture has no such event")
        return _json({"lives": [life], "gateway": await self._gateways_side(life["id"])})

    async def _request(self, request: web.Request) -> web.Response:
        place = number_of(request, "place")
        told = await beside(lambda stop: explain_request(self._source, place))
        return _problem(404, "the capture has no such request") if told is None else _json(told)

    async def _key(self, request: web.Request) -> web.Response:
        key = request.query.get("key", "")
        if not key:
            raise WrongQuestion("key is an id or a value")
        lives = await beside(partial(explain_key, self._source, key))
        return _json({"lives": lives, "gateway": await self._gateways_side(key)})

    async def _gateways_side(self, key: str | None) -> dict[str, Any] | None:
        if self._gateway is None or key is None:
            return None
        return await beside(partial(self._gateway.explain, self._source, key))

    async def _not_billed(self, request: web.Request) -> web.Response:
        if self._gateway is None:
            return _problem(404, "there is no journal: start with --journal FILE")
        gateway = self._gateway
        try:
            told = await beside(lambda stop: gateway.not_billed())
        except JournalError as error:  # an answer as good as any: the page asks again when the journal has grown
            return _json({"problem": gateway.not_yet() or str(error)})
        return _json({"total": told.total, "requests": told.requests})


def _counts(found: Found, wanted: Filter, subjects: Any) -> dict[str, Any]:
    by_count = (-found.subjects).argsort(kind="stable")[:MOST_SUBJECTS]
    told = [[subjects[code], int(found.subjects[code])] for code in by_count if found.subjects[code]]
    known = {subject for subject, _ in told}
    told += [[subject, 0] for subject in wanted.subjects if subject not in known]
    return {
        "subjects": told,
        "all_subjects": int((found.subjects > 0).sum()),
        "verdicts": dict(zip((*VERDICTS, "mixed"), found.verdicts.tolist(), strict=True)),
    }


def _files() -> dict[str, tuple[bytes, str]]:
    """Return the page's files and their media types by their path; the reports lend it their style."""
    own = [file for file in _STATIC.iterdir() if file.suffix in _TYPES]
    files = {f"/{file.name}": (file.read_bytes(), _TYPES[file.suffix]) for file in (*own, *page_style_files())}
    return files | {"/": files["/index.html"]}


async def _file(content: bytes, media_type: str, request: web.Request) -> web.Response:
    return web.Response(body=content, content_type=media_type, charset="utf-8")


@web.middleware
async def _told(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Tell in words what is wrong."""
    try:
        return await handler(request)
    except WrongQuestion as error:
        return _problem(400, str(error))
    except (CaptureError, CaptureFormatError, JournalError) as error:
        return _problem(503, str(error))
    except Superseded:
        return _problem(503, "the page has asked something else meanwhile")
    except web.HTTPException as error:
        return _problem(error.status, error.reason.lower())


def _problem(status: int, words: str) -> web.Response:
    return _json({"problem": words}, status)


def _json(document: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(document), status=status, content_type="application/json", charset="utf-8")
