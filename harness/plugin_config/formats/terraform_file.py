"""Terraform files read back: the Konnect provider's plugins in ``.tf`` and ``.tf.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from plugin_emulator.documents import InvalidDocument, Pointer, Problem, parse_document

from ..config_file import ConfigFile, FoundPlugin
from ..entity import MixedText, Reference, Value
from ..plugin_kinds import plugin_kind
from .hcl_tree import TerraformBlock, parse_hcl, template_value

_KINDS = frozenset(("resource", "variable"))
_TYPED_PLUGIN = re.compile(r"konnect_gateway_plugin_(\w+)")
_CUSTOM_PLUGIN = "konnect_gateway_custom_plugin"
_TARGETS = ("service", "route", "consumer", "consumer_group")
_TARGET_ID = re.compile(
    r"(?:data\.)?(konnect_gateway_(?:service|route|consumer|consumer_group))\.([\w-]+)(?:\[.*\])?\.id", re.DOTALL
)
#: What a resource holds that is no field of a plugin: Terraform's own arguments, and where in Konnect it belongs.
_NOT_THE_PLUGINS = frozenset(
    ("control_plane_id", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioner", "workspace")
)


def read(text: str, file: str) -> ConfigFile:
    """Return every plugin that is a resource of the Konnect provider, of any name.

    ``file`` tells the two forms apart by its ending, or the text by its first character. A scope that names another
    resource has that resource's ``name``, where the file declares it as plain text, and else the resource's own. An
    expression becomes a Reference when it is a variable and MixedText when it is anything else; nothing is evaluated.
    Raises InvalidDocument.
    """
    if file.endswith(".json") or text.lstrip().startswith("{"):
        blocks = _json_blocks(text, file)
    else:
        blocks = parse_hcl(text, file, _KINDS)
    sensitive = {_variable(block) for block in blocks if _is_sensitive(block)}
    names = _names(blocks)
    plugins = [
        _plugin(block, name, sensitive, names, file) for block in blocks if (name := _plugin_name(block)) is not None
    ]
    around = [
        Problem(
            f"says how many plugins {'.'.join(block.labels)} is",
            (argument,),
            None,
            file,
            block.lines.get((argument,)),
        )
        for block in blocks
        for argument in ("count", "for_each")
        if _plugin_name(block) is not None and argument in block.data
    ]
    return ConfigFile(file, "terraform", tuple(plugins), tuple(around))


def _plugin_name(block: TerraformBlock) -> Value:
    """Return the name of the plugin that a block is; None when it is none."""
    if block.kind != "resource" or len(block.labels) != 2:
        return None
    typed = _TYPED_PLUGIN.fullmatch(block.labels[0])
    if typed:
        return typed[1].replace("_", "-")
    return block.data.get("name", "") if block.labels[0] == _CUSTOM_PLUGIN else None


def _plugin(
    block: TerraformBlock, name: Value, sensitive: set[str], names: Mapping[tuple[str, str], str], file: str
) -> FoundPlugin:
    data: dict[str, Value] = {"name": name}
    lines = {at: line for at, line in block.lines.items() if not at or at[0] not in _NOT_THE_PLUGINS}
    data |= {key: value for key, value in block.data.items() if key not in _NOT_THE_PLUGINS}
    for target in _TARGETS:
        if target in data:
            data[target] = _scope(data[target], names)
            _rename(lines, (target, "id"), data[target])
    if block.labels[0] == _CUSTOM_PLUGIN:
        data["config"] = _json_text(data.get("config"))
        if "config" not in block.data:
            del data["config"]
    kind = plugin_kind(name)
    secrets = {("config", *place) for place in kind.secrets} if kind else set()
    marked = _marked(data, (), lambda at, reference: at in secrets or reference.name in sensitive)
    assert isinstance(marked, dict)
    return FoundPlugin(marked, file, lines)


def _scope(value: Value, names: Mapping[tuple[str, str], str]) -> Value:
    """Return a scope that names what it is limited to, where the ``id`` is that of another resource."""
    identifier = value.get("id") if isinstance(value, dict) else None
    target = _TARGET_ID.fullmatch(identifier.text) if isinstance(identifier, MixedText) else None
    if target is None:
        return value
    return {"name": names.get((target[1], target[2]), target[2])}


def _rename(lines: dict[Pointer, int], at: Pointer, scope: Value) -> None:
    if isinstance(scope, dict) and "name" in scope and at in lines:
        lines[(at[0], "name")] = lines.pop(at)


def _names(blocks: Sequence[TerraformBlock]) -> dict[tuple[str, str], str]:
    """Return the names of the Services, Routes and Consumers that are declared, by type and label."""
    found: dict[tuple[str, str], str] = {}
    for block in blocks:
        name = block.data.get("name", block.data.get("username"))
        if block.kind == "resource" and len(block.labels) == 2 and isinstance(name, str):
            found[(block.labels[0], block.labels[1])] = name
    return found


def _is_sensitive(block: TerraformBlock) -> bool:
    return block.kind == "variable" and bool(block.labels) and block.data.get("sensitive") is True


def _variable(block: TerraformBlock) -> str:
    return block.labels[0].upper().replace("-", "_")


def _json_text(value: Value) -> Value:
    """Return the object that a custom plugin's ``config`` is, when it is given as JSON text."""
    if isinstance(value, str):
        try:
            data = json.loads(value)
        except (ValueError, RecursionError):
            return value
        if isinstance(data, dict):
            return data
    return value


def _marked(value: Value, at: Pointer, is_secret: Callable[[Pointer, Reference], bool]) -> Value:
    if isinstance(value, Reference):
        return replace(value, secret=is_secret(at, value))
    if isinstance(value, dict):
        return {name: _marked(part, (*at, name), is_secret) for name, part in value.items()}
    if isinstance(value, list):
        return [_marked(part, (*at, index), is_secret) for index, part in enumerate(value)]
    return value


def _json_blocks(text: str, file: str) -> list[TerraformBlock]:
    data, lines = _json(text, file)
    try:
        return list(_blocks_of(data, lines))
    except RecursionError:
        raise InvalidDocument([Problem("is nested too deeply", file=file)]) from None


def _json(text: str, file: str) -> tuple[Any, Mapping[Pointer, int]]:
    """Return JSON data and its lines.

    The YAML parser knows the lines, but takes some JSON for something else (``1e3`` is text to it).
    """
    try:
        data = json.loads(text, parse_constant=_refused_constant)
    except json.JSONDecodeError as error:
        raise InvalidDocument([Problem(f"is not valid JSON: {error.msg}", file=file, line=error.lineno)]) from None
    except ValueError as error:
        raise InvalidDocument([Problem(f"is not valid JSON: {error}", file=file)]) from None
    except RecursionError:
        raise InvalidDocument([Problem("is nested too deeply", file=file)]) from None
    try:
        return data, parse_document(text, file).lines
    except InvalidDocument as error:
        if any(problem.pointer for problem in error.problems):  # a key given twice, which JSON readers overlook
            raise
        return data, {}


def _refused_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _blocks_of(data: Any, lines: Mapping[Pointer, int]) -> Iterator[TerraformBlock]:
    """Yield the blocks of Terraform's JSON form, in which labels are keys, and any level may be a list of objects."""
    for kind, depth in (("resource", 2), ("variable", 1)):
        if isinstance(data, dict) and kind in data:
            for labels, body, at in _labelled(data[kind], (kind,), depth):
                places: dict[Pointer, int] = {}
                _locate(body, at, len(at), lines, places)
                values = {name: _templates(part) for name, part in body.items() if name != "//"}
                yield TerraformBlock(kind, labels, values, places)


def _labelled(data: Any, at: Pointer, depth: int) -> Iterator[tuple[tuple[str, ...], dict[str, Any], Pointer]]:
    if isinstance(data, list):
        for index, part in enumerate(data):
            yield from _labelled(part, (*at, index), depth)
    elif isinstance(data, dict):
        if depth == 0:
            yield (), data, at
            return
        for label, part in data.items():
            for labels, body, place in _labelled(part, (*at, label), depth - 1):
                yield (label, *labels), body, place


def _locate(value: Any, at: Pointer, skip: int, lines: Mapping[Pointer, int], found: dict[Pointer, int]) -> None:
    if at in lines:
        found[at[skip:]] = lines[at]
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        _locate(part, (*at, name), skip, lines, found)


def _templates(value: Any) -> Value:
    if isinstance(value, str):
        return template_value(value)
    if isinstance(value, dict):
        return {name: _templates(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_templates(part) for part in value]
    plain: Value = value
    return plain
