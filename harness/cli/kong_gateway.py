"""``python -m harness.cli.kong_gateway``: the emulated gateway run as Kong's image is, by ``KONG_…`` variables."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from harness.cli.main import main
from harness.cli.sizes import Size
from harness.journal.writer import LEAST_LIMIT
from harness.targets.scratch_folder import ScratchFolder
from plugin_emulator.documents import InvalidDocument
from plugin_emulator.gateway.kong_environment import (
    JOURNAL_LIMIT_VARIABLE,
    STRING_VARIABLE,
    KongEnvironment,
    read_environment,
)
from plugin_emulator.log_line import LogLine, from_level

_EMPTY_STATE = '_format_version: "3.0"\n'


#: What a container is told to run when it is told nothing, or what Kong's own image is told.
_STARTS: tuple[list[str], ...] = ([], ["kong", "docker-start"], ["kong", "start"])


def run(command: list[str]) -> None:
    """Run the gateway until it is told to stop, or another command in its place; never returns."""
    if command not in _STARTS:
        try:
            os.execvp(command[0], command)  # noqa: S606
        except OSError as error:
            click.echo(f"kong-metering gateway: {command[0]}: {error.strerror}", err=True)
            sys.exit(2)
    try:
        asked = read_environment(os.environ)
    except InvalidDocument as error:
        for problem in error.problems:
            click.echo(f"kong-metering gateway: {problem}", err=True)
        sys.exit(2)
    _check_limit(asked.journal_limit)
    log = from_level(asked.log_level, lambda line: click.echo(f"kong-metering gateway: {line}", err=True))
    for note in asked.notes:
        log(LogLine.at("notice", note))
    if asked.config_file is not None:
        main(arguments(asked, Path(asked.config_file)))
    with ScratchFolder() as directory:
        # A file, not an argument: a configuration may hold tokens, and arguments can be read by anyone.
        config = directory / "kong.yml"
        config.touch(0o600)
        config.write_text(asked.config_text or _EMPTY_STATE, encoding="utf-8")
        main([*arguments(asked, config), "--config-name", STRING_VARIABLE])


def arguments(asked: KongEnvironment, config: Path) -> list[str]:
    """Return the arguments of ``kong-metering`` for what the environment asks."""
    words = ["gateway", "--db-less", "--config", str(config), "--gateway", asked.version]
    words += ["--subject-form", asked.subject_form, "--log-level", asked.log_level]
    words += ["--host", asked.proxy.host, "--proxy-port", str(asked.proxy.port)]
    if asked.admin is None:
        words.append("--no-admin")
    else:
        words += ["--admin-host", asked.admin.host, "--admin-port", str(asked.admin.port)]
    if asked.journal is not None:
        words += ["--journal", asked.journal]
    if asked.journal_limit is not None:
        words += ["--journal-limit", asked.journal_limit]
    return [*words, "--echo-upstream"] if asked.echo_upstream else words


def _check_limit(limit: str | None) -> None:
    """End with the variable's name for a size that is none; the option's would tell its reader nothing."""
    try:
        Size(LEAST_LIMIT)(limit)
    except click.BadParameter as error:
        click.echo(f"kong-metering gateway: {JOURNAL_LIMIT_VARIABLE}: {error.message}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    run(sys.argv[1:])
