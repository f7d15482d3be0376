"""Which Route came nearest to a request that matched none, and what it asks for beyond what the request has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from plugin_emulator.gateway.entities import Route
from plugin_emulator.gateway.router import Router

#: Of more Routes it is not worked out: that would keep the gateway from serving.
_MOST = 500


class NearestRoute:
    """Answers for ``routes`` which one came nearest. Takes longer than the router, and is for journals alone."""

    __slots__ = ("_routes",)

    def __init__(self, routes: Iterable[Route]) -> None:
        given = tuple(routes)
        self._routes = [(route, _criteria(route)) for route in given] if len(given) <= _MOST else []

    def of(self, method: str, host: str, path: str) -> str | None:
        """Return the Route that has most in common with a request, and what it asks for in addition, in words.

        Its path must be the request's, or its host, if it has no path. None when there is no such Route.
        """
        nearest: tuple[int, str] | None = None
        for route, criteria in self._routes:
            fitting = {
                kind for kind, (router, _) in criteria.items() if router.find(method, host, 0, path) is not None
            }
            if ("paths" if "paths" in criteria else "hosts") not in fitting:
                continue
            missing = [wanted for kind, (_, wanted) in criteria.items() if kind not in fitting]
            if missing and (nearest is None or len(missing) < nearest[0]):
                nearest = len(missing), f"Route {route.name or route.id!r} came nearest: it asks for {_and(missing)}"
        return None if nearest is None else nearest[1]


def _criteria(route: Route) -> dict[str, tuple[Router, str]]:
    """Return a router for each kind of criterion of a Route, which knows no other, and the criterion in words."""
    bare = replace(route, methods=(), hosts=(), headers=(), paths=())
    headers = _and([f"header {name!r}" for name, _ in route.headers])
    kinds = {
        "methods": (replace(bare, methods=route.methods), f"method {_or(route.methods)}"),
        "hosts": (replace(bare, hosts=route.hosts), f"host {_or(route.hosts)}"),
        "paths": (replace(bare, paths=route.paths), f"path {_or(route.paths)}"),
        "headers": (replace(bare, headers=route.headers), headers),
    }
    return {kind: (Router([part]), wanted) for kind, (part, wanted) in kinds.items() if getattr(route, kind)}


def _or(values: Iterable[str]) -> str:
    return " or ".join(values)


def _and(values: Iterable[str]) -> str:
    return " and ".join(values)
