"""The ``kong-metering`` command: finds the verb, runs it, turns a user's mistake into one line and an exit code.

Exit codes are a contract: 0 ok, 1 the thing that was checked is wrong, 2 usage or environment.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from plugin_emulator.documents import InvalidDocument

EXIT_WRONG = 1
EXIT_USAGE = 2

#: verb -> module of ``harness.cli`` with a click command named ``command``, and its one-line help. A verb's module
#: is imported only when the verb is used: mitmproxy, pytest and aiohttp take longer to import than most verbs run.
VERBS: dict[str, tuple[str, str]] = {
    "conformance": ("conformance", "Run the conformance suite and print rules × verdicts."),
    "events": ("events", "Exchanges in, usage events out: the plugin's pipeline alone."),
    "gateway": ("gateway", "Run the emulated gateway on a Kong state file."),
    "ingest": ("ingest", "Run the fake ingest endpoint and capture what arrives."),
    "simulate": ("simulate", "Queue settings and arrivals in virtual time: what is sent, what is lost and why."),
}


class CannotContinue(click.ClickException):
    """Something the user has to change first (a port in use, no permission): one line, exit code 2."""

    exit_code = EXIT_USAGE

    def show(self, file: object = None) -> None:
        click.echo(f"kong-metering: {self.message}", err=True)


class Verbs(click.Group):
    """A command group that imports a verb's module when the verb is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"harness.cli.{VERBS[cmd_name][0]}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, text) for verb, (_, text) in sorted(VERBS.items())])


@click.command(cls=Verbs)
@click.version_option(package_name="kong-metering-harness")
def cli() -> None:
    """Prove that a Kong gateway bills correctly."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; never returns. ``arguments`` defaults to the process's own."""
    try:
        result = cli.main(args=None if arguments is None else list(arguments), standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.UsageError as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except InvalidDocument as error:
        for problem in error.problems:
            click.echo(f"kong-metering: {problem}", err=True)
        sys.exit(EXIT_USAGE)
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        sys.exit(0)
    sys.exit(result if isinstance(result, int) else 0)


if __name__ == "__main__":
    main()
