"""What ``config render`` and ``config convert`` have in common: choices of the deployment, and writing the files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from harness.plugin_config.entity import PluginEntity
from harness.plugin_config.formats.format import CannotExpress, OutputFile, RenderOptions
from harness.plugin_config.formats.registry import FORMAT_NAMES, output_format
from plugin_emulator.metering_and_billing.config import is_http_url

from .json_lines import output_file
from .main import EXIT_WRONG, CannotContinue

_Command = TypeVar("_Command", bound=Callable[..., Any])

_KONNECT = re.compile(r"https://([a-z]+)\.api\.konghq\.com/.*")

_OPTIONS = (
    click.option("--format", "format_name", type=click.Choice(FORMAT_NAMES), help="The tool it is for."),
    click.option("--all", "every", is_flag=True, help="Every format, each in a folder of its own below -o FOLDER."),
    click.option("-o", "--output", default="-", metavar="PATH", help="File, or folder (ending in /); - for stdout."),
    click.option("--allow-literal-secrets", is_flag=True, help="Write a token that is given as such."),
    click.option("--as-documented", is_flag=True, help="As on the vendor's pages, also where that is less safe."),
    click.option("--admin-url", default="http://localhost:8001", metavar="URL", help="admin-api: where it listens."),
    click.option("--region", metavar="NAME", help="Konnect: region of the control plane (default: ingest's)."),
    click.option("--control-plane", metavar="ID", help="Konnect: id (Kong Operator: name) of the control plane."),
    click.option("--namespace", default="kong", metavar="NAME", help="Kubernetes: namespace (default kong)."),
    click.option("--ingress-class", default="kong", metavar="NAME", help="Kubernetes: ingress class (default kong)."),
    click.option(
        "--secret-form",
        type=click.Choice(["patches", "from"]),
        default="patches",
        help="Kubernetes: the token alone in a Secret (configPatches) or all of config (configFrom).",
    ),
    click.option("--route-kind", type=click.Choice(["httproute", "ingress"]), help="Kubernetes: what a Route is."),
    click.option("--extension-ref", is_flag=True, help="Kubernetes: attach to an HTTPRoute by a filter."),
)


def render_options(command: _Command) -> _Command:
    """Give a command the options; it takes them as ``**deployment``."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def write(entities: Sequence[PluginEntity], gateway: str, deployment: dict[str, Any]) -> int:
    """Render ``entities`` as the options say and write the files; return the exit code.

    Raises CannotContinue for options that do not fit, and for what the one format chosen cannot express.
    """
    format_name, every, output = (deployment.pop(name) for name in ("format_name", "every", "output"))
    options = _render_options(gateway, deployment)
    if options.region is None and not options.as_documented:
        options = replace(options, region=_ingest_region(entities))
    if not output:
        raise click.UsageError("-o: name a file, or a folder ending in /")
    if every == (format_name is not None):
        raise click.UsageError("give either --format NAME or --all")
    if not every:
        try:
            _write_files(output_format(format_name).render(entities, options), output, format_name)
        except CannotExpress as reason:
            raise CannotContinue(str(reason)) from None
        return 0
    if output == "-":
        raise click.UsageError("--all writes folders: give -o FOLDER")
    return _write_every(entities, options, Path(output))


def _ingest_region(entities: Sequence[PluginEntity]) -> str | None:
    """Return the Konnect region that all events go to: the control plane's, unless the user says otherwise."""
    found = {_KONNECT.fullmatch(str(entity.config.get("ingest_endpoint"))) for entity in entities}
    regions = {match[1] if match else None for match in found}
    return regions.pop() if len(regions) == 1 else None


def _render_options(gateway: str, deployment: dict[str, Any]) -> RenderOptions:
    if not is_http_url(deployment["admin_url"]):
        raise click.UsageError("--admin-url is not an absolute http(s) URL, e.g. http://localhost:8001")
    literal_secrets = deployment.pop("allow_literal_secrets")
    return RenderOptions(gateway, literal_secrets=literal_secrets, **deployment)


def _write_every(entities: Sequence[PluginEntity], options: RenderOptions, folder: Path) -> int:
    """Write each format into ``folder/<format>/``. One that cannot express the entities is told, and left out."""
    rendered: dict[str, list[OutputFile]] = {}
    refused: list[str] = []
    for name in FORMAT_NAMES:
        try:
            rendered[name] = output_format(name).render(entities, options)
        except CannotExpress as reason:
            # A plugin that needs no installation is no reason to complain.
            if reason.field != "name":
                refused.append(str(reason))
    for name, files in rendered.items():
        _write_files(files, f"{folder / name}/", name)
    for line in refused:
        click.echo(f"kong-metering: left out: {line}", err=True)
    return EXIT_WRONG if refused else 0


def _write_files(files: Sequence[OutputFile], output: str, format_name: str) -> None:
    if output.endswith("/") or (output != "-" and Path(output).is_dir()):
        folder = Path(output)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CannotContinue(f"{output}: cannot be made: {error.strerror or error}") from None
        for file in files:
            _write_file(str(folder / file.name), file.text)
        return
    if len(files) == 1:
        _write_file(output, files[0].text)
    elif output == "-":
        _write_file("-", "\n".join(f"# {file.name}\n{file.text}" for file in files))
    else:
        names = " and ".join(file.name for file in files)
        raise CannotContinue(f"{format_name} is {len(files)} files, {names}: give a folder, -o {output}/")


def _write_file(path: str, text: str) -> None:
    with output_file(path) as file:
        file.write(text.encode("utf-8"))
