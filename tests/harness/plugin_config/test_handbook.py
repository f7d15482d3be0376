"""docs/config.md shows what the generator writes."""

from __future__ import annotations

import re
from pathlib import Path

from harness.plugin_config.formats.registry import FORMAT_NAMES
from harness.plugin_config.handbook import with_generated_part

PAGE = (Path(__file__).parents[3] / "docs" / "config.md").read_text(encoding="utf-8")


def test_the_page_is_as_the_generator_would_write_it_now() -> None:
    assert with_generated_part(PAGE) == PAGE, "run: make docs"


def test_every_cell_of_the_table_leads_to_its_example() -> None:
    links = re.findall(r"\[yes\]\(#([^)]+)\)", PAGE)
    assert len(links) == 4 * (len(FORMAT_NAMES) - 1)
    assert set(links) <= set(re.findall(r'<a id="([^"]+)"></a>', PAGE))
