"""What the HTML reports have in common: values as text, tooltips, and a page that needs no second file.

A value is written into a page as text. Should one ever not be, the page's policy allows no script and no style but
its own, by their hashes, and nothing to be loaded.
"""

from __future__ import annotations

import base64
import hashlib
from html import escape
from pathlib import Path

from harness.report.evidence import visible

_ASSETS = Path(__file__).with_name("assets")


def as_text(value: str) -> str:
    """Return ``value`` as it can stand in an element or an attribute: shown, without effect."""
    return escape(visible(value))


def titled(shape: str, words: str) -> str:
    """Return a mark of a picture with its words, which show when it is pointed at."""
    return f"<g><title>{as_text(words)}</title>{shape}</g>"


def facts(told: dict[str, str]) -> str:
    """Return names and values as a list; those without a value are left out."""
    pairs = [f"<div><dt>{as_text(name)}</dt><dd>{as_text(value)}</dd></div>" for name, value in told.items() if value]
    return f'<dl class="facts">{"".join(pairs)}</dl>'


def page_style() -> str:
    """Return the style sheet of all reports, light or dark as the browser is; a report's own comes after it."""
    page, dark = map(asset, page_style_files())
    return f"{page}@media (prefers-color-scheme: dark) {{\n{dark}}}\n"


def page_style_files() -> tuple[Path, Path]:
    """Return the files of that style sheet: one for all, and the colours that make it dark."""
    return _ASSETS / "page.css", _ASSETS / "dark.css"


def asset(path: Path) -> str:
    """Return a file that is part of this package."""
    return path.read_text(encoding="utf-8")


def policy_hash(script_or_style: str) -> str:
    """Return what the page's policy knows its script or style by."""
    return f"sha256-{base64.b64encode(hashlib.sha256(script_or_style.encode()).digest()).decode()}"
