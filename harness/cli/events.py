"""``kong-metering events``: exchanges in, usage events out, the plugin's pipeline alone."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import msgspec

from plugin_emulator.conditions import Condition, InvalidCondition, compile_condition
from plugin_emulator.documents import InvalidDocument, Problem
from plugin_emulator.event_ids import id_source
from plugin_emulator.exchange import Exchange
from plugin_emulator.gateway.exchange_facts import kept_out
from plugin_emulator.gateway.references import render_environment
from plugin_emulator.metering_and_billing.config import (
    GATEWAY_VERSIONS,
    NEWEST_GATEWAY,
    PLUGIN_NAME,
    MeteringConfig,
    load_config,
)
from plugin_emulator.metering_and_billing.pipeline import Outcome, Pipeline

from .json_lines import answer_lines
from .main import CannotContinue

#: Stands in for the two fields that say where events go; this verb sends nothing.
_NOWHERE = {"ingest_endpoint": "http://localhost/", "api_token": "unused"}


@click.command(help=__doc__)
@click.argument("exchanges", default="-", metavar="[EXCHANGES]")
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The plugin: its config alone, a plugin entity, or a state file with one metering-and-billing plugin.",
)
@click.option("--gateway", type=click.Choice(GATEWAY_VERSIONS), default=NEWEST_GATEWAY, show_default=True)
@click.option("--subject-form", type=click.Choice(["username", "prefixed-id"]), default="username", show_default=True)
@click.option("--seed", type=int, help="Make the same event ids in every run.")
@click.option("-o", "--output", default="-", metavar="FILE", help="Where to write; - for stdout (the default).")
def command(
    exchanges: str, config_file: Path | None, gateway: str, subject_form: Any, seed: int | None, output: str
) -> int:
    """Read exchanges as JSON lines, write one line of events for each."""
    config, condition = load_config(_NOWHERE, gateway), None
    if config_file is not None:
        config, condition = read_plugin(config_file, gateway)
    pipeline = Pipeline(config, gateway, subject_form, id_source(seed))

    def answer(exchange: Exchange) -> dict[str, Any]:
        drop = kept_out(condition, exchange) if condition is not None else None
        outcome = pipeline.events(exchange) if drop is None else Outcome([], drop)
        return {"events": outcome.events, "dropped": outcome.drop}

    answer_lines(exchanges, output, "an exchange", msgspec.json.Decoder(Exchange), answer)
    return 0


def read_plugin(path: Path, gateway: str) -> tuple[MeteringConfig, Condition | None]:
    """Return the one metering-and-billing configuration in a file, and its plugin's condition.

    Raises InvalidDocument with file and line when there is none, more than one, or it is not valid.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CannotContinue(f"{path}: cannot be read: {getattr(error, 'strerror', 'is not UTF-8 text')}") from None
    rendered = render_environment(text, os.environ, str(path))
    document = rendered.parse(str(path))
    found = _plugins(document.data)
    if len(found) != 1:
        many = f"{len(found)} plugins named {PLUGIN_NAME}" if found else f"no plugin named {PLUGIN_NAME}"
        hint = "give a file with exactly one, or the plugin's config alone"
        raise InvalidDocument([Problem(f"has {many}", hint=hint, file=str(path), line=1)])
    pointer, config, text = found[0]
    if isinstance(config, dict):
        config = {**_NOWHERE, **{name: value for name, value in config.items() if value is not None}}
    problems: list[Problem] = []
    try:
        condition = _condition(text, gateway)
    except InvalidCondition as error:
        problems.append(document.located(error.problem(), pointer[:-1]))
    try:
        loaded = load_config(config, gateway)
    except InvalidDocument as error:
        problems += [document.located(problem, pointer) for problem in error.problems]
    if problems:
        raise InvalidDocument([rendered.redacted(problem) for problem in problems])
    return replace(loaded, api_token=""), condition


def _condition(text: Any, gateway: str) -> Condition | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise InvalidCondition("expected a string", hint="put it in quotes")
    return compile_condition(text, gateway)


#: Pointer and value of a plugin's config, and its entity's condition.
_Found = tuple[tuple[str | int, ...], Any, Any]


def _plugins(data: Any) -> list[_Found]:
    """Return each metering-and-billing plugin in a state file, an entity or a bare config."""
    if not isinstance(data, dict):
        return []
    found: list[_Found] = []
    _collect(data, (), found)
    if not found and not data.keys() & {"name", "_format_version", "plugins", "services", "routes", "consumers"}:
        return [((), data, None)]
    return found


def _collect(value: Any, at: tuple[str | int, ...], found: list[_Found]) -> None:
    if isinstance(value, dict):
        if value.get("name") == PLUGIN_NAME:
            found.append(((*at, "config"), value.get("config"), value.get("condition")))
            return
        for key, item in value.items():
            _collect(item, (*at, key), found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _collect(item, (*at, index), found)
