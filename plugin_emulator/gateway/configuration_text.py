"""The declarative configuration as text: as ``POST /config`` brings it, and as ``GET /config`` shows it."""

from __future__ import annotations

import math
from typing import Any

import orjson
import yaml

from plugin_emulator.gateway.entity_rows import ENTITY_KINDS
from plugin_emulator.gateway.entity_store import EntityStore
from plugin_emulator.gateway.http_service import Call


class _Dumper(yaml.SafeDumper):
    """Writes YAML as Kong does: nothing is ``~``, and no list shares its text with another."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "~"))


def configuration_in(call: Call) -> str:
    """Return the configuration in a call's body. Raises ValueError for a JSON body that is none."""
    content_type = call.headers.fields.first.get("content-type", "").lower()
    text = call.body.decode("utf-8")
    if not content_type.startswith("application/json"):
        return text
    document = orjson.loads(call.body)
    if document == []:  # for Kong the same as {}
        return "{}"
    if isinstance(document, dict) and isinstance(document.get("config"), str):
        return str(document["config"])
    return text


def configuration_text(store: EntityStore) -> str:
    """Return the YAML of all that is in the store, references by id."""
    document: dict[str, Any] = {"_format_version": "3.0", "_transform": False}
    for kind, rows in store.rows.items():
        foreign = ENTITY_KINDS[kind].foreign
        if rows:
            document[kind] = [
                {name: value["id"] if name in foreign and value else value for name, value in row.items()}
                for row in rows.values()
            ]
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=math.inf)
