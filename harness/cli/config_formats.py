"""``kong-metering config formats``: the output formats, and what each cannot express."""

from __future__ import annotations

import json

import click

from harness.plugin_config.formats.registry import FORMAT_NAMES, output_format


@click.command(help=__doc__)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def command(as_json: bool) -> int:
    """List the formats."""
    formats = [output_format(name) for name in FORMAT_NAMES]
    if as_json:
        listed = [
            {
                "name": each.name,
                "title": each.title,
                "cannot_express": [{"field": limit.field, "reason": limit.reason} for limit in each.limits],
            }
            for each in formats
        ]
        click.echo(json.dumps(listed, indent=2))
        return 0
    width = max(len(each.name) for each in formats)
    for each in formats:
        click.echo(f"{each.name:<{width}}  {each.title}")
        for limit in each.limits:
            click.echo(f"{'':<{width}}  - not {limit.field}: {limit.reason}")
    return 0
