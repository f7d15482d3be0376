"""What a run was asked for: options of the command line, or of pytest's ini file."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

#: Of the versions the emulated gateway plays, the one it plays unless told otherwise.
DEFAULT_VERSION = "3.16"
DEFAULT_HOST = "127.0.0.1"
_VERSIONS = ("3.14", "3.15", "3.16")


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of one run. ``timeout`` and ``quiet`` are in seconds; ``ingest_port`` 0 is any free port."""

    gateway_url: str | None = None
    admin_url: str | None = None
    gateway_version: str = DEFAULT_VERSION
    ingest_host: str = DEFAULT_HOST
    ingest_port: int = 0
    token_env: str | None = None
    upstream: Literal["echo", "real"] = "echo"
    timeout: float = 10.0
    quiet: float = 1.5

    @property
    def token(self) -> str | None:
        """The token in the user's variable; None when no variable was named."""
        return None if self.token_env is None else os.environ[self.token_env]

    @classmethod
    def of(cls, given: Mapping[str, str | None]) -> Settings:
        """Make settings of texts by name; None and "" are not given. Raises ValueError with one line."""
        texts = {name: text.strip() for name, text in given.items() if text is not None and text.strip()}
        version = texts.get("gateway_version", DEFAULT_VERSION)
        if version not in _VERSIONS:
            raise ValueError(f"metering_gateway_version: {version!r} is not one of {', '.join(_VERSIONS)}")
        upstream = texts.get("upstream", "echo")
        if upstream != "echo" and upstream != "real":
            raise ValueError(f"metering_upstream: {upstream!r} is neither echo nor real")
        if "admin_url" in texts and "gateway_url" not in texts:
            raise ValueError("metering_admin_url goes with metering_gateway_url: name the gateway's proxy, too")
        variable = texts.get("token_env")
        if variable is not None and not os.environ.get(variable):
            raise ValueError(f"metering_token_env: environment variable {variable} is not set, or empty")
        return cls(
            gateway_url=_url(texts, "gateway_url"),
            admin_url=_url(texts, "admin_url"),
            gateway_version=version,
            ingest_host=texts.get("ingest_host", DEFAULT_HOST),
            ingest_port=_port(texts, "ingest_port"),
            token_env=variable,
            upstream="real" if upstream == "real" else "echo",
            timeout=_seconds(texts, "timeout", 10.0),
            quiet=_seconds(texts, "quiet", 1.5),
        )


def _url(texts: Mapping[str, str], name: str) -> str | None:
    text = texts.get(name)
    if text is None:
        return None
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(f"metering_{name} is not an absolute http(s) URL; write e.g. http://localhost:8000")
    return text.rstrip("/")


def _port(texts: Mapping[str, str], name: str) -> int:
    text = texts.get(name, "0")
    if not text.isdecimal() or int(text) > 65535:
        raise ValueError(f"metering_{name}: {text!r} is not a port from 0 to 65535")
    return int(text)


def _seconds(texts: Mapping[str, str], name: str, default: float) -> float:
    text = texts.get(name)
    if text is None:
        return default
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < math.inf:
        raise ValueError(f"metering_{name}: {text!r} is not a number of seconds above 0")
    return seconds
