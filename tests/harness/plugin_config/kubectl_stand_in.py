"""Runs shell commands with a ``kubectl`` that notes what it is given, and hands its input on."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.plugin_config.formats.kubernetes_shell import COMMAND_PREFIX

_KUBECTL = """#!/bin/sh
call=$(mktemp "$CALLS/XXXXXX")
printf '%s\\0' "$@" >"$call.arguments"
case "$*" in *"-f -"*|*/dev/stdin*) tee "$call.input" ;; esac
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One run of kubectl: its arguments, and what it read."""

    arguments: tuple[str, ...]
    given: str | None


@dataclass(frozen=True, slots=True)
class Run:
    """What a script did: its exit code and messages, and kubectl's runs in no particular order."""

    code: int
    messages: str
    calls: tuple[Call, ...]

    def of(self, *words: str) -> list[Call]:
        """Return the runs whose arguments begin with ``words``."""
        return [call for call in self.calls if call.arguments[: len(words)] == words]

    def made_secrets(self) -> dict[str, str]:
        """Return the Secrets made, by name and key, with their values."""
        made = {}
        for call in self.of("create", "secret", "generic"):
            (source,) = [word for word in call.arguments if word.startswith("--from-file=")]
            key = source.removeprefix("--from-file=").removesuffix("=/dev/stdin")
            assert call.given is not None
            made[f"{call.arguments[3]}/{key}"] = call.given
        return made


def run(script: str, environ: dict[str, str], shell: str = "sh") -> Run:
    """Run ``script`` in ``shell`` with nothing in the environment but ``environ`` and a PATH."""
    with tempfile.TemporaryDirectory() as folder:
        calls = Path(folder, "calls")
        calls.mkdir()
        kubectl = Path(folder, "kubectl")
        kubectl.write_text(_KUBECTL, encoding="utf-8")
        kubectl.chmod(0o755)
        path = Path(folder, "script")
        path.write_bytes(script.encode())
        result = subprocess.run(
            [shell, str(path)],
            env={**environ, "PATH": f"{folder}:{os.environ['PATH']}", "CALLS": str(calls)},
            capture_output=True,
            timeout=30,
            check=False,
        )
        found = tuple(_call(file) for file in sorted(calls.glob("*.arguments")))
    return Run(result.returncode, result.stderr.decode(errors="replace"), found)


def commands_of(manifest: str) -> str:
    """Return the commands in a manifest's comments, as a script."""
    lines = [line.removeprefix(COMMAND_PREFIX) for line in manifest.split("\n") if line.startswith(COMMAND_PREFIX)]
    return "\n".join(lines) + "\n"


def _call(file: Path) -> Call:
    given = file.with_suffix(".input")
    arguments = tuple(file.read_bytes().decode().split("\0")[:-1])
    return Call(arguments, given.read_bytes().decode() if given.exists() else None)
