"""Which output formats there are. A new one adds its line here."""

from __future__ import annotations

import importlib

from .format import Format

#: What the user writes after ``--format`` -> module of this package with the Format as ``FORMAT``.
_MODULES = {
    "deck": "deck",
    "dbless": "dbless",
    "admin-api": "admin_api",
    "konnect-api": "konnect_api",
    "kic": "kic",
    "kong-operator": "kong_operator",
    "terraform": "terraform",
    "pulumi": "pulumi",
    "kongctl": "kongctl",
    "kong-conf": "kong_conf",
}
FORMAT_NAMES = tuple(_MODULES)


def output_format(name: str) -> Format:
    """Return the format of that name. Raises KeyError when there is none."""
    module = importlib.import_module(f"{__package__}.{_MODULES[name]}")
    chosen: Format = module.FORMAT
    return chosen
