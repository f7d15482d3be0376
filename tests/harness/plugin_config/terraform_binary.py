"""The real Terraform, for tests that ask what it makes of a file. It needs no provider and no network for that."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

TERRAFORM = shutil.which("terraform")
needs_terraform = pytest.mark.skipif(TERRAFORM is None, reason="no terraform binary on this machine")


def outputs(folder: Path, text: str) -> dict[str, Any]:
    """Return what the outputs of a configuration evaluate to."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.tf").write_text(text, encoding="utf-8")
    ran = _run(["apply", "-auto-approve", "-input=false", "-no-color"], folder)
    assert ran.returncode == 0, ran.stderr
    state = json.loads((folder / "terraform.tfstate").read_text(encoding="utf-8"), parse_int=_number)
    return {name: output["value"] for name, output in state["outputs"].items()}


def formatting_differences(text: str, folder: Path) -> str:
    """Return what ``terraform fmt`` would change, or say against; empty when it is content."""
    ran = _run(["fmt", "-check", "-diff", "-"], folder, text)
    return ran.stdout + (ran.stderr if ran.returncode not in (0, 3) else "")


def _number(text: str) -> int | float:
    """Return a number as JSON means it: Terraform writes out the zeros of 1e+20, which is no reason to be exact."""
    return int(text) if abs(int(text)) <= 2**53 else float(text)


def _run(arguments: list[str], folder: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    assert TERRAFORM is not None
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    environment |= {"CHECKPOINT_DISABLE": "1", "HOME": str(folder)}
    return subprocess.run(
        [TERRAFORM, *arguments], cwd=folder, env=environment, input=text, capture_output=True, encoding="utf-8"
    )
