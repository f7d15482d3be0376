"""The ``kong-metering`` command: finds the verb, runs it, turns a user's mistake into one line and an exit code.

Exit codes are a contract: 0 ok, 1 the thing that was checked is wrong, 2 usage or environment.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from harness.targets import lifeline
from plugin_emulator.documents import InvalidDocument, did_you_mean

EXIT_WRONG = 1
EXIT_USAGE = 2

#: verb -> module with a click command named ``command``, and its one-line help. A name without a dot is a module of
#: ``harness.cli``; another room's verb is named in full, since this room does not know the other one. A verb's module
#: is imported only when the verb is used: mitmproxy, pytest and aiohttp take longer to import than most verbs run.
VERBS: dict[str, tuple[str, str]] = {
    "capture": ("capture", "Search, explain, compare, export and replay what an ingest endpoint captured."),
    "compare": ("compare", "The same traffic through both metering plugins: what each bills, and why."),
    "config": ("config", "Generate, check and size the plugin's configuration for any tool."),
    "conformance": ("conformance", "Run the conformance suite and print rules × verdicts."),
    "doctor": ("doctor", "What of engine, images, licence, ports and programs is there, and what to do."),
    "events": ("events", "Exchanges in, usage events out: the plugin's pipeline alone."),
    "explain": ("explain", "Why a request was billed or not, from a gateway's journal."),
    "gateway": ("gateway", "Run the emulated gateway on a Kong state file."),
    "ingest": ("ingest", "Run the fake ingest endpoint and capture what arrives."),
    "load": ("loadtests.command", "Load a gateway, then account for every request: billed once, lost, twice, late."),
    "simulate": ("simulate", "Queue settings and arrivals in virtual time: what is sent, what is lost and why."),
}


class CannotContinue(click.ClickException):
    """Something the user has to change first (a port in use, no permission): one line, exit code 2."""

    exit_code = EXIT_USAGE

    def show(self, file: object = None) -> None:
        click.echo(f"kong-metering: {self.message}", err=True)


class _ReaderGone(Exception):
    """Nobody reads our output any more. Not an OSError: click would end the process with 1 for a broken pipe."""


class Verbs(click.Group):
    """A command group that imports a verb's module when the verb is used."""

    def __init__(self, *, table: Mapping[str, tuple[str, str]] = VERBS, **attributes: Any) -> None:
        """Take the verbs from ``table``: verb -> module, one-line help (see VERBS)."""
        super().__init__(**attributes)
        self._table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(self._table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._table:
            return None
        name = self._table[cmd_name][0]
        module = importlib.import_module(name if "." in name else f"harness.cli.{name}")
        command = module.command
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return name, command and the arguments left. Fails with the nearest verb's name for an unknown one."""
        if args and args[0] not in self._table and not args[0].startswith("-"):
            near = did_you_mean(args[0], self._table)
            ctx.fail(f"no verb is called {args[0]!r}{f', did you mean {near!r}?' if near else ''}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb. Raises _ReaderGone when its output has no reader."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise _ReaderGone from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, text) for verb, (_, text) in sorted(self._table.items())])


@click.command(cls=Verbs)
@click.version_option(package_name="kong-metering-harness")
def cli() -> None:
    """Prove that a Kong gateway bills correctly."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; never returns. ``arguments`` defaults to the process's own."""
    lifeline.hold_on()
    try:
        given = None if arguments is None else list(arguments)
        result = cli.main(args=given, prog_name="kong-metering", standalone_mode=False)
        sys.stdout.flush()  # here, where a failure can still be told
    except click.exceptions.Abort:
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(EXIT_USAGE)
    except click.UsageError as error:
        click.echo(f"kong-metering: {_usage(error)}", err=True)
        sys.exit(EXIT_USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except InvalidDocument as error:
        for problem in error.problems:
            click.echo(f"kong-metering: {problem}", err=True)
        sys.exit(EXIT_USAGE)
    except (BrokenPipeError, _ReaderGone):  # it has seen enough
        _forget_output()
        sys.exit(0)
    except OSError as error:
        _forget_output()
        place = "standard output" if error.filename is None else error.filename
        click.echo(f"kong-metering: {place}: {error.strerror or error}", err=True)
        sys.exit(EXIT_USAGE)
    sys.exit(result if isinstance(result, int) else 0)


def _usage(error: click.UsageError) -> str:
    """Return a mistake in the arguments as one line that says where to read on."""
    message = " ".join(error.format_message().split()).rstrip(".")
    command = "kong-metering" if error.ctx is None else error.ctx.command_path
    return f"{message[:1].lower()}{message[1:]} (see: {command} --help)"


def _forget_output() -> None:
    """Send what is left in the buffer of standard output nowhere, or the interpreter complains as it ends."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    # By its name: the verbs import this module by it, and what they raise is to be known here.
    importlib.import_module("harness.cli.main").main()
