"""The control interface of an ingest process: sets lanes up and reads what they captured, over loopback HTTP.

======  ============================================  =====================================================
PUT     ``/lanes/<name>``                             set up a lane: token, script, profile … (all optional)
GET     ``/lanes/<name>``                             its counts
GET     ``/lanes/<name>/requests?after=N&wait=S``     captured requests from the N-th on; waits up to S seconds
DELETE  ``/lanes/<name>``                             remove it; requests hanging in it are let go
POST    ``/lanes/<name>/faults``                      a fault script for the requests to come, behind what is set
DELETE  ``/lanes/<name>/faults``                      no faults for the requests to come
PUT     ``/lanes/<name>/fault``                       one ``fault`` for all requests, ``for`` so many seconds
DELETE  ``/lanes/<name>/fault``                       the end of that one
GET     ``/lanes``                                    names and counts of all lanes
======  ============================================  =====================================================

An empty name is the lane without a name.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import time
from collections.abc import Iterable
from typing import Any

from aiohttp import web

from harness.capture.store import CaptureError
from harness.ingest.apis import APIS
from harness.ingest.core import IngestSettings
from harness.ingest.faults import FaultScript
from harness.ingest.lanes import Lane, Lanes, is_lane_name
from harness.ingest.timed_fault import parse_timed_fault
from plugin_emulator.documents import InvalidDocument, did_you_mean

#: Most requests in one reply, so that a reply stays small; the reader asks again.
PAGE = 1000
LONGEST_WAIT = 300.0  # seconds

_KEYS = ("token", "script", "profile", "path_suffix", "lenient", "thorough")


class ControlServer:
    """Serves the control interface for ``lanes``; ``defaults`` apply to what a PUT leaves out.

    ``more`` are routes of the process beside its lanes' own.
    """

    def __init__(self, lanes: Lanes, defaults: IngestSettings, more: Iterable[web.AbstractRouteDef] = ()) -> None:
        self._lanes = lanes
        self._defaults = defaults
        self._more = tuple(more)
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen on ``host``:``port`` (0: any free port); return the port. Raises OSError."""
        app = web.Application()
        app.add_routes(
            [
                web.get("/lanes", self._list),
                web.put("/lanes/{name:[^/]*}", self._put),
                web.get("/lanes/{name:[^/]*}", self._get),
                web.delete("/lanes/{name:[^/]*}", self._delete),
                web.post("/lanes/{name:[^/]*}/faults", self._add_faults),
                web.delete("/lanes/{name:[^/]*}/faults", self._remove_faults),
                web.put("/lanes/{name:[^/]*}/fault", self._set_fault),
                web.delete("/lanes/{name:[^/]*}/fault", self._clear_fault),
                web.get("/lanes/{name:[^/]*}/requests", self._requests),
                *self._more,
            ]
        )
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _list(self, request: web.Request) -> web.Response:
        lanes = [lane for name in self._lanes.names() if (lane := self._lanes.get(name)) is not None]
        return web.json_response({"lanes": [_counts(lane) for lane in lanes]})

    async def _put(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not is_lane_name(name):
            return _wrong("a lane's name has letters, digits, '.', '_' and '-' and begins with a letter or digit")
        try:
            document = json.loads(await request.text() or "{}")
            settings, script = _lane_settings(document, self._defaults)
        except InvalidDocument as error:
            return _wrong(*(f"script{problem}" for problem in error.problems))
        except ValueError as error:  # not JSON, or a member that cannot be used
            return _wrong(str(error))
        return web.json_response(_counts(self._lanes.set(name, settings, script)))

    async def _get(self, request: web.Request) -> web.Response:
        lane = self._lanes.get(request.match_info["name"])
        return _gone() if lane is None else web.json_response(_counts(lane))

    async def _delete(self, request: web.Request) -> web.Response:
        return web.Response(status=204) if self._lanes.remove(request.match_info["name"]) else _gone()

    async def _add_faults(self, request: web.Request) -> web.Response:
        lane = self._lanes.get(request.match_info["name"])
        if lane is None:
            return _gone()
        try:
            script = FaultScript.parse(json.loads(await request.text()))
        except InvalidDocument as error:
            return _wrong(*(f"script{problem}" for problem in error.problems))
        except ValueError as error:  # not JSON
            return _wrong(str(error))
        lane.script = lane.script.followed_by(script, lane.arrived)
        return web.json_response(_counts(lane))

    async def _remove_faults(self, request: web.Request) -> web.Response:
        lane = self._lanes.get(request.match_info["name"])
        if lane is None:
            return _gone()
        lane.script = FaultScript()
        return web.Response(status=204)

    async def _set_fault(self, request: web.Request) -> web.Response:
        lane = self._lanes.get(request.match_info["name"])
        if lane is None:
            return _gone()
        try:
            lane.timed = parse_timed_fault(json.loads(await request.text()), time.monotonic())
        except InvalidDocument as error:
            return _wrong(*(f"fault{problem}" for problem in error.problems))
        except ValueError as error:  # not JSON, or a member that cannot be used
            return _wrong(str(error))
        return web.json_response(_counts(lane))

    async def _clear_fault(self, request: web.Request) -> web.Response:
        lane = self._lanes.get(request.match_info["name"])
        if lane is None:
            return _gone()
        lane.timed = None
        return web.Response(status=204)

    async def _requests(self, request: web.Request) -> web.Response:
        lane = self._lanes.get(request.match_info["name"])
        if lane is None:
            return _gone()
        try:
            after = int(request.query.get("after", "0"))
            wait = float(request.query.get("wait", "0"))
        except ValueError:
            return _wrong("after is a whole number, wait is seconds")
        if after < 0 or not math.isfinite(wait):
            return _wrong("after is at least 0, wait is finite")
        await _wait_for(lane, after, min(wait, LONGEST_WAIT))
        if lane.closed:
            return _gone()
        end = min(len(lane.places), after + PAGE)
        try:
            lines = [self._lanes.line(lane, index) for index in range(after, end)]
        except CaptureError as error:
            return web.json_response({"errors": [str(error)]}, status=503)
        body = b'{"requests":[' + b",".join(lines) + b'],"next":' + str(max(after, end)).encode() + b"}"
        return web.Response(body=body, content_type="application/json")


async def _wait_for(lane: Lane, after: int, seconds: float) -> None:
    """Wait until ``lane`` has captured more than ``after`` requests, is removed, or ``seconds`` have passed."""
    more = asyncio.Event()
    lane.listeners.add(more.set)
    try:
        async with asyncio.timeout(seconds):
            while len(lane.places) <= after and not lane.closed:
                more.clear()
                await more.wait()
    except TimeoutError:
        return
    finally:
        lane.listeners.discard(more.set)


def _lane_settings(document: Any, defaults: IngestSettings) -> tuple[IngestSettings, FaultScript]:
    """Return what a PUT asks for. Raises ValueError, or InvalidDocument for a fault script that is not one."""
    if not isinstance(document, dict):
        raise ValueError("expected a JSON object")
    for key in document:
        if key not in _KEYS:
            near = did_you_mean(key, _KEYS)
            raise ValueError(f"unknown member {key!r}; " + (f"did you mean {near!r}?" if near else f"known: {_KEYS}"))
    changes: dict[str, Any] = {}
    token = document.get("token")
    if "token" in document:
        if not (token is None or (isinstance(token, str) and token)):
            raise ValueError("token must be a non-empty string, or null to take any")
        changes["tokens"] = frozenset({token} if token else ())
    if "profile" in document:
        if document["profile"] not in APIS:
            raise ValueError(f"profile must be one of: {', '.join(APIS)}")
        changes["api"] = APIS[document["profile"]]
    if "path_suffix" in document:
        if not isinstance(document["path_suffix"], str | None):
            raise ValueError("path_suffix must be a string, or null for the one of the profile's API")
        changes["path_suffix"] = document["path_suffix"]
    for flag in ("lenient", "thorough"):
        if flag in document:
            if not isinstance(document[flag], bool):
                raise ValueError(f"{flag} must be true or false")
            changes[flag] = document[flag]
    return dataclasses.replace(defaults, **changes), FaultScript.parse(document.get("script"))


def _counts(lane: Lane) -> dict[str, Any]:
    return {"name": lane.name, **dataclasses.asdict(lane.counts)}


def _wrong(*errors: str) -> web.Response:
    return web.json_response({"errors": list(errors)}, status=400)


def _gone() -> web.Response:
    return web.json_response({"errors": ["there is no lane of that name"]}, status=404)
