"""``kong-metering config convert``: the metering plugins of a configuration, in another format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from harness.plugin_config.config_file import ConfigFile
from harness.plugin_config.entity import PluginEntity, references
from harness.plugin_config.formats.format import Names
from harness.plugin_config.intent import TOKEN_VARIABLE, NotMeant, scope
from harness.plugin_config.reading import read_config_file
from harness.plugin_config.secrets import literal_secrets, with_references, with_secrets_marked
from harness.plugin_config.validation import Validated, entity_of, validate
from plugin_emulator.documents import InvalidDocument, Problem
from plugin_emulator.metering_and_billing.config import GATEWAY_VERSIONS, NEWEST_GATEWAY

from .main import EXIT_WRONG, CannotContinue
from .render_options import render_options, write


@click.command(help=__doc__)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--gateway", type=click.Choice(GATEWAY_VERSIONS), default=NEWEST_GATEWAY, help="Gateway version.")
@click.option("--scope", "scopes", multiple=True, metavar="KIND=NAME", help="In place of the scope in the file.")
@click.option("--keep-ids", is_flag=True, help="Keep the ids of plugins; without it the new ones get their own.")
@render_options
def command(file: Path, gateway: str, scopes: tuple[str, ...], keep_ids: bool, **deployment: Any) -> int:
    """Convert ``file``; a token that stands in it becomes a variable, unless literals are allowed."""
    config_file = read_config_file(file)
    found = validate(config_file, gateway)
    problems = [str(problem) for each in found for problem in each.problems]
    if problems:
        click.echo("\n".join(problems), err=True)
        return EXIT_WRONG
    entities = _entities(config_file, found, scopes)
    if not keep_ids:
        entities = [_without_id(entity, each) for entity, each in zip(entities, found, strict=True)]
    _tell_of_others(config_file, found)
    if not deployment["allow_literal_secrets"]:
        entities = _without_literals(entities, found)
    return write(entities, gateway, deployment)


def _entities(file: ConfigFile, found: Sequence[Validated], scopes: tuple[str, ...]) -> list[PluginEntity]:
    if not found:
        raise CannotContinue(f"{file.file}: there is no metering plugin in it")
    entities: list[PluginEntity] = []
    for each in found:
        place = f"{file.file}:{each.plugin.line()}"
        if not each.plugin.attached and not scopes:
            raise CannotContinue(f"{place}: is attached to nothing: say with --scope what it is to be limited to")
        try:
            entity = entity_of(each.plugin)
            if scopes:
                entity = replace(entity, scope=scope(list(scopes)))
        except NotMeant as reason:
            raise click.UsageError(f"--scope: {reason}") from None
        except ValueError as reason:
            raise CannotContinue(f"{place}: {reason}") from None
        entities.append(replace(entity, config=with_secrets_marked(entity.config, each.kind)))
    return entities


def _without_id(entity: PluginEntity, found: Validated) -> PluginEntity:
    if entity.id is None:
        return entity
    problem = Problem("is left out: the plugin gets an id of its own", ("id",), "--keep-ids keeps it")
    click.echo(f"kong-metering: {found.plugin.located(problem)}", err=True)
    return replace(entity, id=None)


def _tell_of_others(file: ConfigFile, found: Sequence[Validated]) -> None:
    for problem in file.around:
        click.echo(f"kong-metering: {replace(problem, hint='the new configuration does not say it')}", err=True)
    others = len(file.plugins) - len(found)
    if others:
        one = "1 other plugin, which does not meter, is"
        what = one if others == 1 else f"{others} other plugins, which do not meter, are"
        click.echo(f"kong-metering: {file.file}: {what} left out", err=True)


def _without_literals(entities: Sequence[PluginEntity], found: Sequence[Validated]) -> list[PluginEntity]:
    taken = Names({reference.name for entity in entities for _, reference in references(entity.config)})
    variables: dict[str, str] = {}

    def variable(literal: str) -> str:
        if literal not in variables:
            variables[literal] = taken.unique(TOKEN_VARIABLE, "_")
        return variables[literal]

    result: list[PluginEntity] = []
    for entity, each in zip(entities, found, strict=True):
        changed, places = with_references(entity, each.kind, variable)
        for at in places:
            problem = Problem("stands there as a literal: a variable takes its place", ("config", *at))
            click.echo(f"kong-metering: {each.plugin.located(problem)}", err=True)
        left = literal_secrets(changed, each.kind)
        if left:
            raise InvalidDocument([each.plugin.located(problem) for problem in left])
        result.append(changed)
    return result
