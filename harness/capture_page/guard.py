"""What keeps captured data on the page: who is answered at all, and what a browser may do with an answer."""

from __future__ import annotations

import ipaddress

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware
from yarl import URL

#: Nothing but the page's own files, and no text that becomes markup.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}


def guarded(host: str) -> Middleware:
    """Return the middleware of a server that was told to listen on ``host``.

    A request for another host than this is refused: its name was pointed at this machine by somebody else's name
    server (DNS rebinding), whose page would then read the answer.
    """

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        response: web.StreamResponse
        if not _is_own(request, host):
            response = web.Response(status=403, text="this is not the address that this page is served on\n")
        elif request.method != hdrs.METH_GET:
            response = web.Response(status=405, text="only GET\n", headers={hdrs.ALLOW: hdrs.METH_GET})
        else:
            response = await handler(request)
        response.headers.update(_HEADERS)
        return response

    return guard


def _is_own(request: web.Request, host: str) -> bool:
    try:
        named = URL(f"http://{request.headers.get(hdrs.HOST, '')}")
        name, port = named.host, named.port
    except ValueError:
        return False
    own = request.transport.get_extra_info("sockname") if request.transport is not None else None
    if own is None or name is None or port != own[1]:
        return False
    return name in ("localhost", host.lower()) or _same_address(name, own[0])


def _same_address(name: str, own: str) -> bool:
    try:
        one, other = ipaddress.ip_address(name), ipaddress.ip_address(own)
    except ValueError:
        return False
    return one == other or (one.is_loopback and other.is_loopback)
