"""A real Chromium for tests, driven by its DevTools protocol over two pipes: no port, no package, no driver.

::

    with Chromium() as browser:
        page = browser.open_page("file:///…/report.html", dark=True)
        page.type("#text", "batch")
        assert page.evaluate("document.title") == "…"
        assert page.console_errors == []

``chromium_path()`` says whether there is one; a test without it skips.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

#: Seconds until something the browser was asked for counts as not happening.
PATIENCE = 30.0

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_OPTIONS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--mute-audio",
)
# Chromium reads commands from descriptor 3 and answers on 4; the numbers we have may be these very two.
_LAUNCH = """\
import fcntl, os, sys
commands, answers = (fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3])
os.dup2(commands, 3); os.dup2(answers, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


def chromium_path() -> str | None:
    """Return the program's path, or None when there is none on PATH."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


class BrowserError(RuntimeError):
    """The browser refused a command, ended, or did not answer in time; or the page's script raised."""


class Chromium:
    """One headless browser with a profile of its own, ended with the ``with`` block."""

    def __init__(self) -> None:
        path = chromium_path()
        if path is None:
            raise BrowserError("no chromium on PATH")
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-")
        command_end, self._commands = os.pipe()
        self._answers, answer_end = os.pipe()
        ends = [str(command_end), str(answer_end)]
        options = [*_OPTIONS, f"--user-data-dir={self._profile.name}"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, *ends, path, *options, "about:blank"],
            pass_fds=(command_end, answer_end),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, "HOME": self._profile.name},
        )
        os.close(command_end)
        os.close(answer_end)
        self._buffer = b""
        self._number = 0
        self._pages: dict[str, Page] = {}

    def __enter__(self) -> Chromium:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the browser with all its processes and remove its profile."""
        with contextlib.suppress(OSError, BrowserError):
            self.send("Browser.close", patience=5.0)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for end in (self._commands, self._answers):
            os.close(end)
        for _ in range(50):  # what was killed may still be writing
            with contextlib.suppress(OSError):
                self._profile.cleanup()
            if not Path(self._profile.name).exists():
                break
            time.sleep(0.05)

    def open_page(self, url: str, *, dark: bool = False, offline: bool = False) -> Page:
        """Open ``url`` in a new tab and wait until it has loaded. ``offline`` cuts it off from any network."""
        target = self.send("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.send("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.send(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        page.send("Emulation.setEmulatedMedia", {"features": [scheme]})
        if offline:
            nothing = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
            page.send("Network.emulateNetworkConditions", nothing)
        page.go(url)
        return page

    def send(
        self,
        method: str,
        parameters: Mapping[str, Any] | None = None,
        session: str | None = None,
        patience: float = PATIENCE,
    ) -> dict[str, Any]:
        """Send one command of the DevTools protocol and return its result. Raises BrowserError."""
        self._number += 1
        number = self._number
        message: dict[str, Any] = {"id": number, "method": method, "params": dict(parameters or {})}
        if session is not None:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        answer = self._read(lambda one: one.get("id") == number, patience)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error'].get('message')}")
        result: dict[str, Any] = answer["result"]
        return result

    def wait(self, session: str, happened: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Take messages in until ``happened``. Raises BrowserError when it does not."""
        if not happened():
            self._read(lambda one: one.get("sessionId") == session and happened(), patience)

    def _read(self, wanted: Callable[[dict[str, Any]], bool], patience: float) -> dict[str, Any]:
        deadline = time.monotonic() + patience
        while True:
            while b"\0" not in self._buffer:
                left = deadline - time.monotonic()
                ready, _, _ = select.select([self._answers], [], [], max(left, 0.0))
                part = os.read(self._answers, 1 << 16) if ready else b""
                if not part:
                    raise BrowserError("the browser ended" if ready else "the browser did not answer in time")
                self._buffer += part
            text, _, self._buffer = self._buffer.partition(b"\0")
            message: dict[str, Any] = json.loads(text)
            page = self._pages.get(message.get("sessionId", ""))
            if page is not None:
                page.take(message)
            if wanted(message):
                return message


class Page:
    """One tab. ``console_errors`` is what its console shows as an error, uncaught exceptions among it, so far;
    ``requests`` the addresses it asked for."""

    def __init__(self, browser: Chromium, session: str) -> None:
        self.console_errors: list[str] = []
        self.requests: list[str] = []
        self._browser = browser
        self._session = session
        self._loaded = False

    def go(self, url: str) -> None:
        """Load ``url`` and wait until it has. Raises BrowserError."""
        self._loaded = False
        answer = self.send("Page.navigate", {"url": url})
        if answer.get("errorText"):
            raise BrowserError(f"{url}: {answer['errorText']}")
        if "loaderId" in answer:  # without one only the part after # is new, and nothing is loaded
            self._browser.wait(self._session, lambda: self._loaded)

    def send(self, method: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Send one command to the tab."""
        return self._browser.send(method, parameters, self._session)

    def evaluate(self, script: str) -> Any:
        """Return the value of a JavaScript expression, a promise's when it is settled. Raises BrowserError."""
        asked = {"expression": script, "returnByValue": True, "awaitPromise": True, "userGesture": True}
        answer = self.send("Runtime.evaluate", asked)
        if "exceptionDetails" in answer:
            raise BrowserError(_exception(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait_for(self, script: str, patience: float = 10.0) -> None:
        """Wait until the expression is true. Raises BrowserError when it does not become so."""
        deadline = time.monotonic() + patience
        while not self.evaluate(script):
            if time.monotonic() > deadline:
                raise BrowserError(f"did not become true: {script}")
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        """Press the left button in the middle of the first element to be seen that ``selector`` finds."""
        quoted = json.dumps(selector)
        at = self.evaluate(
            f"(() => {{ const all = [...document.querySelectorAll({quoted})];"
            "const one = all.find((one) => one.checkVisibility()); if (!one) return null;"
            "one.scrollIntoView({block: 'center', behavior: 'instant'}); const box = one.getBoundingClientRect();"
            "return {x: box.x + box.width / 2, y: box.y + box.height / 2}; })()"
        )
        if at is None:
            raise BrowserError(f"nothing to be seen is found by {selector}")
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", {"type": kind, **at, "button": "left", "clickCount": 1})

    def type(self, selector: str, text: str) -> None:
        """Put the cursor into the element and type ``text`` there."""
        self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        self.send("Input.insertText", {"text": text})

    def press(self, key: str) -> None:
        """Press and release one key: a character, or a name such as Tab, Enter, Escape, Space, ArrowDown."""
        named = {"Tab": (9, ""), "Enter": (13, "\r"), "Escape": (27, ""), "Space": (32, " "), "End": (35, "")}
        named |= {"Home": (36, ""), "ArrowLeft": (37, ""), "ArrowUp": (38, ""), "ArrowRight": (39, "")}
        named |= {"ArrowDown": (40, "")}
        code, text = named.get(key, (ord(key[0].upper()), key))
        name = " " if key == "Space" else key
        event = {"key": name, "code": key, "windowsVirtualKeyCode": code, "nativeVirtualKeyCode": code}
        self.send("Input.dispatchKeyEvent", {"type": "keyDown" if text else "rawKeyDown", "text": text, **event})
        self.send("Input.dispatchKeyEvent", {"type": "keyUp", **event})

    def screenshot(self, file: Path) -> None:
        """Write what is seen as a PNG file, to look at."""
        file.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))

    def take(self, message: Mapping[str, Any]) -> None:
        """Note what a message of the browser says of this tab."""
        method, data = message.get("method"), message.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Runtime.exceptionThrown":
            self.console_errors.append(_exception(data["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and data["type"] in ("error", "assert"):
            self.console_errors.append(" ".join(str(one.get("value")) for one in data["args"]))
        elif method == "Log.entryAdded" and data["entry"]["level"] == "error":
            self.console_errors.append(data["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(data["request"]["url"])


def _exception(details: Mapping[str, Any]) -> str:
    return str(details.get("exception", {}).get("description") or details.get("text"))
