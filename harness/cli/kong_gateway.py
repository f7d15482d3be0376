"""``python -m harness.cli.kong_gateway``: the emulated gateway run as Kong's image is, by ``KONG_…`` variables."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import click

from harness.cli.main import main
from plugin_emulator.documents import InvalidDocument
from plugin_emulator.gateway.kong_environment import KongEnvironment, read_environment

_EMPTY_STATE = '_format_version: "3.0"\n'


def run() -> None:
    """Run the gateway until it is told to stop; never returns."""
    try:
        asked = read_environment(os.environ)
    except InvalidDocument as error:
        for problem in error.problems:
            click.echo(f"kong-metering gateway: {problem}", err=True)
        sys.exit(2)
    for note in asked.notes:
        click.echo(f"kong-metering gateway: {note}", err=True)
    if asked.config_file is not None:
        main(arguments(asked, Path(asked.config_file)))
    with tempfile.TemporaryDirectory(prefix="kong-metering-") as directory:
        # A file, not an argument: a configuration may hold tokens, and arguments can be read by anyone.
        config = Path(directory) / "kong.yml"
        config.touch(0o600)
        config.write_text(asked.config_text or _EMPTY_STATE, encoding="utf-8")
        main(arguments(asked, config))


def arguments(asked: KongEnvironment, config: Path) -> list[str]:
    """Return the arguments of ``kong-metering`` for what the environment asks."""
    words = ["gateway", "--db-less", "--config", str(config), "--gateway", asked.version]
    words += ["--host", asked.proxy.host, "--proxy-port", str(asked.proxy.port)]
    if asked.admin is None:
        words.append("--no-admin")
    else:
        words += ["--admin-host", asked.admin.host, "--admin-port", str(asked.admin.port)]
    return [*words, "--echo-upstream"] if asked.echo_upstream else words


if __name__ == "__main__":
    run()
