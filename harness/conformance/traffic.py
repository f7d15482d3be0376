"""Sends a scenario's requests as a plain HTTP client would, headers exactly as written."""

from __future__ import annotations

import http.client
import re
import shlex
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from harness.conformance.observation import Answer
from harness.conformance.scenario import Step

USER_AGENT = "kong-metering-conformance"
#: Seconds until a request without an answer is given up.
CLIENT_TIMEOUT = 30.0

_SECRET_HEADERS = frozenset({"authorization", "proxy-authorization", "cookie", "apikey", "api-key", "x-api-key"})
_SECRET_QUERY = re.compile(r"(?i)((?:^|[?&])(?:apikey|api_key|key|token|access_token)=)[^&]*")
HIDDEN = "****"


def send(step: Step, proxy_url: str) -> list[Answer]:
    """Send the step's requests, ``concurrency`` at a time, and return their answers in the order they were begun."""
    time.sleep(step.pause)
    lanes = min(step.concurrency, step.repeat)
    shares = [step.repeat // lanes + (1 if index < step.repeat % lanes else 0) for index in range(lanes)]
    if lanes == 1:
        return _send_share(step, proxy_url, step.repeat)
    with ThreadPoolExecutor(lanes) as pool:
        sent = [*pool.map(lambda count: _send_share(step, proxy_url, count), shares)]
    answers = [answer for share in sent for answer in share]
    return sorted(answers, key=lambda answer: answer.started_at)


def as_curl(step: Step) -> str:
    """Return the step's request as a curl command on the usual proxy port, credentials hidden."""
    words = ["curl", "-i"]
    if step.method != "GET":
        words += ["-X", step.method]
    words.append("http://localhost:8000" + _SECRET_QUERY.sub(rf"\1{HIDDEN}", step.target))
    for name, value in step.headers:
        words += ["-H", f"{name}: {HIDDEN if name.lower() in _SECRET_HEADERS else value}"]
    if step.body is not None:
        words += ["--data", step.body]
    times = f"    # × {step.repeat}" if step.repeat > 1 else ""
    return shlex.join(words) + times


def _send_share(step: Step, proxy_url: str, count: int) -> list[Answer]:
    parts = urlsplit(proxy_url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "127.0.0.1", parts.port, timeout=CLIENT_TIMEOUT)
    try:
        answers: list[Answer] = []
        for number in range(count):
            if number and step.every:
                time.sleep(step.every)
            answers.append(_exchange(step, connection))
        return answers
    finally:
        connection.close()


def _exchange(step: Step, connection: http.client.HTTPConnection) -> Answer:
    started_at, begun = time.time(), time.perf_counter()
    try:
        _write(step, connection)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        seconds = time.perf_counter() - begun
        text = f"{type(error).__name__}: {error}"
        refused = isinstance(error, ConnectionRefusedError)
        return Answer(step.id, started_at, started_at + seconds, seconds, None, error=text, refused=refused)
    seconds = time.perf_counter() - begun
    headers = {name.lower(): value for name, value in response.getheaders()}
    text = body.decode("utf-8", "replace")
    return Answer(step.id, started_at, started_at + seconds, seconds, response.status, headers, text)


def _write(step: Step, connection: http.client.HTTPConnection) -> None:
    names = {name.lower() for name, _ in step.headers}
    connection.putrequest(step.method, step.target, skip_host="host" in names, skip_accept_encoding=True)
    if "user-agent" not in names:
        connection.putheader("User-Agent", USER_AGENT)
    for name, value in step.headers:
        connection.putheader(name, value.encode("utf-8"))
    body = None if step.body is None else step.body.encode("utf-8")
    if body is not None and "content-length" not in names:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
