"""The stand-in's sources: clean under luacheck, and plain about what they are."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from stand_in import PLUGINS


@pytest.mark.skipif(shutil.which("luacheck") is None, reason="no luacheck on PATH: apt-get install lua-check")
def test_luacheck_has_nothing_to_say() -> None:
    luacheck = shutil.which("luacheck")
    assert luacheck
    done = subprocess.run(
        [luacheck, "--no-color", "--codes", "metering-and-billing"], cwd=PLUGINS, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_header_and_readme_say_that_this_is_not_kongs_plugin() -> None:
    handler = (PLUGINS / "metering-and-billing" / "handler.lua").read_text(encoding="utf-8")
    readme = (PLUGINS / "README.md").read_text(encoding="utf-8")
    assert handler.startswith("-- A STAND-IN for Kong's metering-and-billing plugin. It is not Kong's plugin")
    assert "not Kong's plugin" in readme


def test_the_readme_names_every_module() -> None:
    readme = (PLUGINS / "README.md").read_text(encoding="utf-8")
    for module in (PLUGINS / "metering-and-billing").glob("*.lua"):
        assert f"`{module.name}`" in readme
