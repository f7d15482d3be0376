"""A client of the Admin API of a gateway on a bench."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlencode

from gateway_on_a_bench import Bench, Client, Response


async def admin_call(
    b: Bench, method: str, path: str, body: bytes = b"", content_type: str = "text/yaml"
) -> Response:
    """Send one call and return its answer."""
    assert b.gateway.admin_url is not None
    reader, writer = await asyncio.open_connection("127.0.0.1", int(b.gateway.admin_url.rpartition(":")[2]))
    client = Client(reader, writer)
    head = f"Host: h\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
    await client.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)
    response = await client.response(bare=method == "HEAD")
    writer.close()
    return response


async def send_json(b: Bench, method: str, path: str, body: Any = None) -> Response:
    """Send one call with a JSON body."""
    return await admin_call(b, method, path, json.dumps({} if body is None else body).encode(), "application/json")


async def send_form(b: Bench, method: str, path: str, *fields: tuple[str, str]) -> Response:
    """Send one call with the fields of a form."""
    return await admin_call(b, method, path, urlencode(fields).encode(), "application/x-www-form-urlencoded")


async def created(b: Bench, path: str, body: Any) -> dict[str, Any]:
    """Create an entity and return it."""
    response = await send_json(b, "POST", path, body)
    assert response.status == 201, response.body
    document = response.json
    assert isinstance(document, dict)
    return document
