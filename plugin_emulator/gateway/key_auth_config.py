"""Configuration of the ``key-auth`` plugin."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugin_emulator.documents import InvalidDocument, Problem
from plugin_emulator.schema_check import Schema

SCHEMA = Schema.read(Path(__file__).parent / "schemas" / "key-auth-config.json")


@dataclass(frozen=True, slots=True)
class KeyAuthConfig:
    """Settings of one key-auth instance, with Kong's defaults.

    ``anonymous`` is the id or username of the Consumer that stands in when authentication fails; ``realm`` is named
    in the ``WWW-Authenticate`` header of a 401.
    """

    key_names: tuple[str, ...] = ("apikey",)
    key_in_header: bool = True
    key_in_query: bool = True
    key_in_body: bool = False
    hide_credentials: bool = False
    anonymous: str | None = None
    realm: str | None = None
    run_on_preflight: bool = True


def validate_key_auth(config: Any) -> list[Problem]:
    """Return what is wrong in ``config``, with pointers relative to it. None stands for an empty configuration."""
    return SCHEMA.check({} if config is None else config)


def load_key_auth(config: Any) -> KeyAuthConfig:
    """Return the typed form of ``config``. Raises InvalidDocument."""
    problems = validate_key_auth(config)
    if problems:
        raise InvalidDocument(problems)
    given = {name: value for name, value in (config or {}).items() if value is not None}
    if "key_names" in given:
        given["key_names"] = tuple(given["key_names"])
    return KeyAuthConfig(**given)
