"""``kong-metering gateway``: run the emulated gateway on a Kong state file."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from harness.cli.gateway_journal import GatewayJournal, gateway_journal
from harness.cli.main import CannotContinue
from harness.cli.plugin_options import read_plugin_options
from harness.cli.sizes import Size
from harness.journal.writer import LEAST_LIMIT
from plugin_emulator import log_line
from plugin_emulator.gateway.server import Gateway
from plugin_emulator.gateway.state_file import read_state
from plugin_emulator.gateway_versions import GATEWAY_VERSIONS, NEWEST_GATEWAY
from plugin_emulator.log_line import DEFAULT_LOG_LEVEL, LOG_LEVELS, from_level
from plugin_emulator.metering_and_billing.config import PLUGIN_NAME as METERING_AND_BILLING
from plugin_emulator.metering_and_billing.subject import SubjectForm
from plugin_emulator.metering_plugins import metering_runtime

_GRACEFUL = (signal.SIGQUIT,)
_FAST = (signal.SIGTERM, signal.SIGINT)


@click.command()
@click.option(
    "--config", "config", required=True, type=click.Path(path_type=Path), help="Kong state file (decK or DB-less)."
)
@click.option("--config-name", hidden=True, help="What messages call the state file, in place of its path.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--proxy-port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: a free port.")
@click.option("--admin-port", default=8001, show_default=True, type=click.IntRange(0, 65535), help="0: a free port.")
@click.option("--admin-host", metavar="ADDRESS", help="Address of the Admin API (default: --host).")
@click.option("--no-admin", is_flag=True, help="No Admin API.")
@click.option("--db-less", is_flag=True, help="No database: the Admin API changes entities only by POST /config.")
@click.option("--echo-upstream", is_flag=True, help="Send every Service's requests to a built-in echo server.")
@click.option(
    "--gateway",
    "version",
    default=NEWEST_GATEWAY,
    show_default=True,
    type=click.Choice(GATEWAY_VERSIONS),
    help="Gateway version to emulate.",
)
@click.option(
    "--subject-form",
    default="username",
    show_default=True,
    type=click.Choice(["username", "prefixed-id"]),
    help="How a Consumer is named in events.",
)
@click.option(
    "--plugin-option",
    "plugin_options",
    multiple=True,
    metavar="PLUGIN.NAME=VALUE",
    help="A setting of how a plugin is emulated that is no part of its configuration.",
)
@click.option(
    "--log-level",
    default=DEFAULT_LOG_LEVEL,
    show_default=True,
    type=click.Choice(LOG_LEVELS),
    help="Least serious level of the lines on standard error.",
)
@click.option(
    "--journal",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append the life of each request to this file, for kong-metering explain.",
)
@click.option(
    "--journal-limit",
    type=Size(least=LEAST_LIMIT),
    metavar="SIZE",
    help="Largest size of that file and FILE.1 together, e.g. 500MB: what is older is given up.",
)
@click.option("--watch", is_flag=True, help="Show each request as it goes by: its events, or why it has none.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line when ready; with --watch, JSON lines.")
@click.option("--check", is_flag=True, help="Only validate the state file.")
def command(
    config: Path,
    config_name: str | None,
    host: str,
    proxy_port: int,
    admin_port: int,
    admin_host: str | None,
    no_admin: bool,
    db_less: bool,
    echo_upstream: bool,
    version: str,
    subject_form: SubjectForm,
    plugin_options: tuple[str, ...],
    log_level: str,
    journal: Path | None,
    journal_limit: int | None,
    watch: bool,
    as_json: bool,
    check: bool,
) -> None:
    """Run the emulated gateway on a Kong state file.

    SIGQUIT stops it gracefully: requests finish and queued events are delivered. SIGTERM and SIGINT stop it at once;
    queued events are lost, as they are in Kong.
    """
    if journal_limit is not None and journal is None:
        raise click.UsageError("--journal-limit needs --journal")
    options = read_plugin_options(plugin_options)
    options.setdefault(METERING_AND_BILLING, {}).setdefault("subject_form", subject_form)
    state = read_state(config, os.environ, version, name=config_name)
    log = from_level(log_level, _write)
    for warning in state.warnings:
        log(str(warning))
    if check:
        click.echo(f"{config_name or config}: ok, {len(state.routes)} routes, {len(state.plugins)} plugins")
        return

    async def run(journal: GatewayJournal) -> None:
        runtime = metering_runtime(version, options, log, journal.observe)
        gateway = Gateway(
            state,
            runtime,
            host=host,
            proxy_port=proxy_port,
            admin_port=None if no_admin else admin_port,
            admin_host=admin_host,
            echo_upstream=echo_upstream,
            gateway=version,
            db_less=db_less,
            log_level=log_level,
            log=log,
            observe=journal.observe,
        )
        stop: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        for signals, graceful in ((_GRACEFUL, True), (_FAST, False)):
            for each in signals:
                asyncio.get_running_loop().add_signal_handler(each, _ask_to_stop, stop, graceful)
        try:
            await gateway.start()
        except OSError as error:
            raise CannotContinue(_listen_failure(error, host)) from None
        _announce(gateway, echo_upstream, as_json)
        # What is there now stays: the collector need not look at it again, nor run for every few hundred requests.
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        async with journal.watching():
            graceful = await stop
            lost = await gateway.stop(graceful=graceful)
        if lost:
            log(log_line.error(f"stopped at once: {lost} queued {'event was' if lost == 1 else 'events were'} lost"))

    with gateway_journal(journal, journal_limit, watch=watch, as_json=as_json, log=log) as told:
        _run(run(told))


def _run(main: Coroutine[Any, Any, None]) -> None:
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def _ask_to_stop(stop: asyncio.Future[bool], graceful: bool) -> None:
    if not stop.done():
        stop.set_result(graceful)


def _announce(gateway: Gateway, echo_upstream: bool, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"proxy": gateway.proxy_url, "admin": gateway.admin_url, "pid": os.getpid()}))
    else:
        click.echo(f"proxy     {gateway.proxy_url}{'  (upstream: built-in echo)' if echo_upstream else ''}")
        if gateway.admin_url:
            click.echo(f"Admin API {gateway.admin_url}")
    sys.stdout.flush()


def _listen_failure(error: OSError, host: str) -> str:
    reason = error.strerror or str(error)
    return f"cannot listen on {host}: {reason} (choose another --proxy-port or --admin-port; 0 takes a free one)"


def _write(line: str) -> None:
    click.echo(f"kong-metering gateway: {line}", err=True)
