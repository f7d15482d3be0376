"""``kong-metering config validate``: would the gateway take the metering plugins in these files?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from harness.plugin_config.reading import read_config_file
from harness.plugin_config.validation import Validated, validate
from plugin_emulator.documents import InvalidDocument, Problem, pointer_text
from plugin_emulator.metering_and_billing.config import GATEWAY_VERSIONS, NEWEST_GATEWAY

from .main import EXIT_USAGE, EXIT_WRONG


@dataclass(frozen=True, slots=True)
class _Checked:
    """One file: its metering plugins, or why it cannot be read."""

    file: str
    format: str | None
    plugins: Sequence[Validated]
    unreadable: Sequence[Problem] = ()


@click.command(help=__doc__)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--gateway", type=click.Choice(GATEWAY_VERSIONS), default=NEWEST_GATEWAY, help="Gateway version.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(files: tuple[Path, ...], gateway: str, as_json: bool) -> int:
    """Check every metering plugin in ``files``: exit 0 when all are sound, 1 when one is not or there is none."""
    checked = [_check(path, gateway) for path in files]
    click.echo(json.dumps(_as_json(checked, gateway), indent=2) if as_json else "\n".join(_lines(checked, gateway)))
    if any(each.unreadable for each in checked):
        return EXIT_USAGE
    sound = all(not plugin.problems for each in checked for plugin in each.plugins)
    return 0 if sound and any(each.plugins for each in checked) else EXIT_WRONG


def _check(path: Path, gateway: str) -> _Checked:
    try:
        file = read_config_file(path)
    except InvalidDocument as error:
        return _Checked(str(path), None, (), error.problems)
    return _Checked(file.file, file.format, validate(file, gateway))


def _lines(checked: Sequence[_Checked], gateway: str) -> list[str]:
    lines: list[str] = []
    for each in checked:
        lines += [str(problem) for problem in each.unreadable]
        lines += [str(problem) for plugin in each.plugins for problem in plugin.problems]
    plugins = [plugin for each in checked for plugin in each.plugins]
    wrong = sum(bool(plugin.problems) for plugin in plugins)
    where = f"{len(checked)} file{'s' * (len(checked) != 1)}"
    if not plugins:
        lines.append(f"no metering plugin in {where}")
    else:
        count = f"{len(plugins)} metering plugin{'s' * (len(plugins) != 1)} in {where}"
        verdict = f"{wrong} that gateway {gateway} refuses" if wrong else f"gateway {gateway} takes all of it"
        lines.append(f"{count}: {verdict}")
    return lines


def _as_json(checked: Sequence[_Checked], gateway: str) -> dict[str, Any]:
    return {
        "gateway": gateway,
        "valid": not any(each.unreadable or any(plugin.problems for plugin in each.plugins) for each in checked),
        "files": [
            {
                "file": each.file,
                "format": each.format,
                "unreadable": [_problem(problem) for problem in each.unreadable],
                "plugins": [
                    {
                        "name": found.plugin.name,
                        "line": found.plugin.line(),
                        "problems": [_problem(problem) for problem in found.problems],
                    }
                    for found in each.plugins
                ],
            }
            for each in checked
        ],
    }


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "pointer": pointer_text(problem.pointer),
        "line": problem.line,
        "message": problem.message,
        "hint": problem.hint,
    }
