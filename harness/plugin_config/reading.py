"""Configuration files of any format: which one is it, and which plugins are in it."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path

from plugin_emulator.documents import InvalidDocument, Problem

from .config_file import ConfigFile

#: The formats a file may have, for messages.
READABLE = "a decK or DB-less state file, an API body, our curl script, a Kubernetes manifest or Terraform"

_STATE_FILE = re.compile(
    r"^(?:_format_version|_info|services|routes|consumers|plugins|consumer_groups)\s*:", re.MULTILINE
)
_MANIFEST = re.compile(r"^\s*['\"]?apiVersion['\"]?\s*:", re.MULTILINE)
_TERRAFORM = re.compile(r"^\s*(?:resource|terraform|provider|variable|locals|module|data)\b[^\n=]*\{", re.MULTILINE)
_SCRIPT = re.compile(r"^#!.*sh\b|\bcurl\s", re.MULTILINE)
_KONGCTL = re.compile(r"^control_planes\s*:", re.MULTILINE)


def read_config_file(path: Path) -> ConfigFile:
    """Read a configuration file, ``-`` being standard input; its format is told from what is in it.

    Raises InvalidDocument when it cannot be read, is of no format known, or is broken.
    """
    name = "standard input" if str(path) == "-" else str(path)
    try:
        text = (sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidDocument([Problem(f"is not UTF-8 text (byte {error.start})", file=name)]) from None
    except OSError as error:
        raise InvalidDocument([Problem(f"cannot be read: {error.strerror}", file=name)]) from None
    return parse_config(text.replace("\r\n", "\n"), name)


def parse_config(text: str, file: str) -> ConfigFile:
    """Read a configuration from its text; ``file`` is its name in messages, and its ending is a hint.

    Raises InvalidDocument.
    """
    if file.endswith((".tf", ".tf.json")):
        return _read("terraform_file", text, file)
    if text.lstrip().startswith(("{", "[")):
        return _json(text, file)
    if _STATE_FILE.search(text) and not _MANIFEST.search(text):
        return _read("state_file", text, file)
    if _KONGCTL.search(text):
        hint = "read the decK files it names under _deck: files"
        raise InvalidDocument([Problem("is a kongctl file, which holds no plugins itself", hint=hint, file=file)])
    if _SCRIPT.search(text) and not file.endswith((".yaml", ".yml")):
        return _read("curl_script", text, file)
    if _MANIFEST.search(text):
        return _read("kubernetes", text, file)
    if _TERRAFORM.search(text):
        return _read("terraform_file", text, file)
    raise InvalidDocument([Problem("is of no format known", hint=f"give {READABLE}", file=file)])


def _json(text: str, file: str) -> ConfigFile:
    """Read JSON, which may be a state file, a manifest, or a body of the API."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None  # its reader says what is wrong with it, and where
    if isinstance(data, dict) and "_format_version" in data:
        return _read("state_file", text, file)
    if isinstance(data, dict) and "apiVersion" in data:
        return _read("kubernetes", text, file)
    if isinstance(data, dict) and isinstance(data.get("resource"), (dict, list)):
        return _read("terraform_file", text, file)
    return _read("json_body", text, file)


def _read(reader: str, text: str, file: str) -> ConfigFile:
    """Read with one module of ``formats``, imported only now: Terraform's takes longer to import than to run."""
    module = importlib.import_module(f"{__package__}.formats.{reader}")
    found: ConfigFile = module.read(text, file)
    return found
