"""docs/adding-a-plugin.md names the places that a metering plugin really has, and all of them."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "adding-a-plugin.md").read_text(encoding="utf-8")
#: The plugin that the page was written from.
PLUGIN = "amberflo"
NAMED = {path.replace("<plugin>", PLUGIN) for path in re.findall(r"`([\w.<>-]+/[\w./<>-]*)`", PAGE)}
#: Files that name it for another reason: a benchmark's peer, the names on Kong's plugin hub, an example on a page.
OTHERWISE = {
    "harness/report/self_check.py",
    "loadtests/benchmarks/pipeline.py",
    "plugin_emulator/gateway/schemas/not-emulated.json",
}


def test_every_file_that_the_page_names_exists() -> None:
    assert len(NAMED) > 40
    assert [path for path in sorted(NAMED) if not (ROOT / path).exists()] == []


def test_every_place_outside_the_plugins_own_folders_that_knows_it_is_on_the_page() -> None:
    knowing = {
        str(path.relative_to(ROOT))
        for room in ("harness", "plugin_emulator", "loadtests")
        for path in (ROOT / room).rglob("*")
        if path.suffix in (".py", ".yaml", ".json")
        and PLUGIN not in path.relative_to(ROOT).parts
        and PLUGIN in path.read_text(encoding="utf-8").lower()
    }
    assert sorted(knowing - NAMED - OTHERWISE) == []


def test_links_of_the_page_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link
