"""The user's own mitmdump or mitmweb with the metering addon, as a child process, for tests."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

TOKEN = "kpat-own-mitmproxy-0123456789"

# A second addon: carries out commands from standard input, as a prompt would, and tells the ports.
_PROMPT = """\
import asyncio, json, sys
from mitmproxy import ctx, exceptions

def say(**told):
    print("\\x1e" + json.dumps(told), flush=True)

async def prompt():
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        try:
            answer = ctx.master.commands.execute(line.decode().strip())
            say(answer=answer if isinstance(answer, (str, int, list, type(None))) else repr(answer))
        except exceptions.CommandError as error:
            say(error=str(error))

class Prompt:
    def running(self):
        self.task = asyncio.get_running_loop().create_task(self.begin())

    async def begin(self):
        proxy = ctx.master.addons.get("proxyserver")
        while not proxy.listen_addrs():
            await asyncio.sleep(0.01)
        say(port=proxy.listen_addrs()[0][1])
        await prompt()

addons = [Prompt()]
"""


class Mitmproxy:
    """A running mitmproxy tool. ``output`` is what it has printed so far."""

    def __init__(self, directory: Path, tool: str = "mitmdump", *options: str, **settings: str) -> None:
        self.capture = directory / "own.capture"
        self.directory = directory
        prompt = directory / "prompt.py"
        prompt.write_text(_PROMPT, encoding="utf-8")
        addon = subprocess.run(
            [sys.executable, "-m", "harness.cli.main", "ingest", "--addon-path"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        told = {"metering_capture": str(self.capture), "confdir": str(directory / "confdir"), **settings}
        command = [str(Path(sys.executable).with_name(tool)), "--listen-host", "127.0.0.1", "--listen-port", "0"]
        if "--mode" not in options:
            command += ["--mode", "reverse:http://127.0.0.1:9"]
        command += [*options, "-s", addon, "-s", str(prompt)]
        for name, value in told.items():
            command += ["--set", f"{name}={value}"]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "INGEST_TOKEN": TOKEN, "HOME": str(directory)},
        )
        self.output: list[str] = []
        self._told: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        first = self._told.get(timeout=60)
        assert first is not None, "".join(self.output)
        self.port: int = first["port"]

    def command(self, line: str) -> Any:
        """Carry out a command; return what it returns. Raises RuntimeError with mitmproxy's message."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        told = self._told.get(timeout=30)
        assert told is not None, "".join(self.output)
        if "error" in told:
            raise RuntimeError(told["error"])
        return told["answer"]

    def stop(self) -> str:
        """End the process as a user does; return all it has printed."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        self._reading.join(10)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        return "".join(self.output)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(b"\x1e"):
                self._told.put(json.loads(line[1:]))
            else:
                self.output.append(line.decode("utf-8", "replace"))
        self._told.put(None)
