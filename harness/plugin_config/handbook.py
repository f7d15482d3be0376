"""The generated part of ``docs/config.md``: formats × scopes, each with the example it stands for.

``python -m harness.plugin_config.handbook docs/config.md`` writes it anew between the page's two marks.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from plugin_emulator.documents import parse_document
from plugin_emulator.metering_and_billing.config import NEWEST_GATEWAY

from .entity import PluginEntity
from .formats.format import CannotExpress, Format, OutputFile, RenderOptions
from .formats.registry import FORMAT_NAMES, output_format
from .intent_document import entity_of_intent

BEGIN = "<!-- generated: make docs -->"
END = "<!-- end of what is generated -->"

INTENT = """\
ingest: konnect:us
subject: header:x-tenant-id
meters: [api-requests]
batch: 100
delay: 1
"""
AMBERFLO_INTENT = """\
plugin: amberflo
meter_name: kong-api-calls
subject: consumer
"""
SCOPES: tuple[dict[str, str | None], ...] = (
    {},
    {"service": "example-service"},
    {"route": "example-route"},
    {"consumer": "alice"},
)

_LANGUAGES = {".yaml": "yaml", ".yml": "yaml", ".sh": "sh", ".tf": "hcl", ".py": "python", ".conf": "ini"}
_OPTIONS = RenderOptions(NEWEST_GATEWAY)


def generated_part() -> str:
    """Return what stands between the marks, line break at its end."""
    metering = _meant(INTENT)
    amberflo = _meant(AMBERFLO_INTENT)
    formats = [output_format(name) for name in FORMAT_NAMES if name != "kong-conf"]
    lines = [*_table(formats, metering), "", "## What a format cannot express", "", *_limits(formats), ""]
    lines += ["## Examples", "", "All from this intent, a scope each:", "", "```yaml", INTENT.rstrip(), "```", ""]
    for each in formats:
        lines += [f"### {each.name}", "", f"{each.title}.", ""]
        for scope in SCOPES:
            lines += _example(each, replace(metering, scope=scope))
    lines += ["### Amberflo", "", "From this intent:", "", "```yaml", AMBERFLO_INTENT.rstrip(), "```", ""]
    for name in FORMAT_NAMES:
        lines += _example(output_format(name), amberflo)
    return "\n".join(lines).rstrip() + "\n"


def with_generated_part(page: str) -> str:
    """Return ``page`` with what stands between its marks made anew. Raises ValueError when it has no marks."""
    before, begin, rest = page.partition(f"{BEGIN}\n")
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page lacks {BEGIN!r} or {END!r}")
    return f"{before}{begin}\n{generated_part()}\n{end}{after}"


def _meant(intent: str) -> PluginEntity:
    return entity_of_intent(parse_document(intent))[0]


def _table(formats: list[Format], entity: PluginEntity) -> Iterator[str]:
    yield "| `--format` | " + " | ".join(_scope_name(scope) for scope in SCOPES) + " |"
    yield "|---" * (len(SCOPES) + 1) + "|"
    for each in formats:
        cells = [f"[yes](#{_anchor(each, replace(entity, scope=scope))})" for scope in SCOPES]
        yield f"| `{each.name}` | " + " | ".join(cells) + " |"


def _limits(formats: list[Format]) -> Iterator[str]:
    for each in formats:
        for limit in each.limits:
            yield f"- `{each.name}`: {limit.field}: {limit.reason}."


def _example(each: Format, entity: PluginEntity) -> Iterator[str]:
    try:
        files = each.render([entity], _OPTIONS)
    except CannotExpress as reason:
        yield f"Not in `{each.name}`: {reason}."
        yield ""
        return
    yield f'<a id="{_anchor(each, entity)}"></a>'
    yield f"<details><summary><code>{each.name}</code>, {_scope_name(entity.scope)}</summary>"
    yield ""
    for file in files:
        yield from _block(file, titled=len(files) > 1)
    yield "</details>"
    yield ""


def _block(file: OutputFile, titled: bool) -> Iterator[str]:
    if titled:
        yield f"`{file.name}`:"
        yield ""
    yield f"```{_LANGUAGES[Path(file.name).suffix]}"
    yield file.text.rstrip("\n")
    yield "```"
    yield ""


def _scope_name(scope: object) -> str:
    return ", ".join(scope) if isinstance(scope, dict) and scope else "global"


def _anchor(each: Format, entity: PluginEntity) -> str:
    return f"{entity.name}-{each.name}-{_scope_name(entity.scope)}"


def main() -> None:
    """Rewrite the page named on the command line."""
    page = Path(sys.argv[1])
    page.write_text(with_generated_part(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
