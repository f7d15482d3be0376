"""Where the harness's own files are: beside the package in a checkout, inside it in an installed copy."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def fixtures() -> Path:
    """Return the directory of state files, scenarios and samples.

    Raises FileNotFoundError when the installation is incomplete.
    """
    for candidate in (_PACKAGE / "fixtures", _PACKAGE.parent / "fixtures"):
        if candidate.is_dir():
            return candidate
    raise FileNotFoundError(f"no fixtures directory in {_PACKAGE} or beside it: install kong-metering-harness again")


def scenarios() -> Path:
    """Return the directory of the scenarios that ship with the harness."""
    return fixtures() / "scenarios"
