"""The echo upstream: answers any request with what it was, as httpbin's ``/anything`` does.

A path that ends in ``/status/<code>`` gives that status, one that ends in ``/delay/<seconds>`` answers late; one that
ends in ``/chat/completions`` answers as a language model's endpoint does.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable
from urllib.parse import parse_qs

import orjson

from plugin_emulator.gateway.echo_chat import PATH_END, chat_answer
from plugin_emulator.gateway.http_service import Answer, Call

_SPECIAL = re.compile(r"/(?:status/([2-5][0-9]{2})|delay/([0-9]{1,2}(?:\.[0-9]{1,6})?))/?$")


def echo(call: Call) -> Answer | Awaitable[Answer]:
    """Answer one request."""
    line = call.line
    if line.path.endswith(PATH_END) and line.method == "POST":
        return Answer(*chat_answer(call.body))
    query = "" if line.query is None else f"?{line.query}"
    arguments = {
        name: values[0] if len(values) == 1 else values
        for name, values in (parse_qs(line.query, keep_blank_values=True) if line.query else {}).items()
    }
    headers: dict[str, str] = {}
    for name, value in call.headers.fields.pairs:
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    data = call.body.decode("utf-8", "replace")
    content_type = call.headers.fields.first.get("content-type", "")
    document = None
    if call.body and content_type.startswith("application/json"):
        try:
            document = orjson.loads(call.body)
        except orjson.JSONDecodeError:
            document = None
    body = orjson.dumps(
        {
            "args": arguments,
            "data": data,
            "headers": headers,
            "json": document,
            "method": line.method,
            "origin": call.headers.fields.first.get("x-forwarded-for", call.client_ip),
            "url": f"http://{call.headers.host or ''}{line.path}{query}",
        }
    )
    special = _SPECIAL.search(line.path)
    if special is None:
        return Answer(200, body)
    if special[1]:
        return Answer(int(special[1]), body)
    return _later(float(special[2]), Answer(200, body))


async def _later(delay: float, answer: Answer) -> Answer:
    await asyncio.sleep(delay)
    return answer
