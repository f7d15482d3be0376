"""A comparison for people and programs: terminal, Markdown, HTML, JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from harness.report.evidence import visible
from harness.report.html_page import as_text, page_style, policy_hash
from harness.report.markdown import code, prose

from .comparison import Compared, Comparison
from .tables import Table, headline, outage_texts, sides, tables

#: How many requests a report for people lists; what they differ in is counted for all.
LISTED = 50
LISTED_ON_A_PAGE = 1000

_STYLE = """
table { border-collapse: collapse; margin: .5rem 0; } th, td { border: 1px solid var(--line); padding: .25rem .5rem;
  text-align: left; vertical-align: top; }
th { background: var(--raised); white-space: nowrap; } tr.differs td { color: var(--finding); }
"""


def print_report(comparison: Comparison, console: Console) -> None:
    """Print the tables, then the sentence that sums them up."""
    for plugin, words in sides(comparison):
        console.print(f"[bold]{escape(plugin)}[/] {escape(visible(words))}", highlight=False)
    for note in comparison.notes:
        console.print(f"left out: {escape(visible(note))}", style="yellow", highlight=False)
    for table in tables(comparison, LISTED):
        console.print(_rich(table))
    console.print(headline(comparison), style="bold", highlight=False)


def markdown(comparison: Comparison) -> str:
    """Return the report as GitHub-flavoured Markdown."""
    lines = [f"# {prose(headline(comparison))}", ""]
    lines += [f"- {code(plugin)} {prose(words)}" for plugin, words in sides(comparison)]
    lines += [f"- left out: {prose(note)}" for note in comparison.notes]
    for table in tables(comparison, LISTED):
        lines += ["", f"## {prose(table.title)}", ""]
        lines += [_row(table.columns), _row("---" for _ in table.columns)]
        lines += [_row(prose(cell) for cell in row) for row in table.rows]
        lines += ["", prose(table.note)] if table.note else []
    return "\n".join(lines) + "\n"


def html_page(comparison: Comparison) -> str:
    """Return the report as one page that needs no second file and runs no script."""
    style = page_style() + _STYLE
    policy = f"default-src 'none'; style-src '{policy_hash(style)}'"
    title = as_text(headline(comparison))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{style}</style></head>\n<body><main><h1>{title}</h1>\n"
        f"{''.join(_html(comparison))}</main></body></html>\n"
    )


def json_report(comparison: Comparison, gateway: str) -> dict[str, Any]:
    """Return the report as JSON data, every request in it."""
    return {
        "gateway": gateway,
        "plugins": [
            {
                "plugin": each.biller.plugin,
                "phase": each.biller.phase,
                "configured": each.where,
                "scope": each.scope_text,
                "delivery": each.biller.pace,
                "totals": msgspec.to_builtins(comparison.totals(side)),
                "figures": msgspec.to_builtins(comparison.figures[side]),
            }
            for side, each in enumerate(comparison.instances)
        ],
        "left_out": list(comparison.notes),
        "outages": outage_texts(comparison),
        "differing": comparison.differing,
        "differences": dict(comparison.kinds),
        "requests": [_compared(number, each) for number, each in enumerate(comparison.compared, 1)],
    }


def _compared(number: int, compared: Compared) -> dict[str, Any]:
    request = compared.exchange.request
    return {
        "n": number,
        "method": request.method,
        "path": request.path,
        "status": compared.exchange.response.status,
        "bills": [
            {"lines": msgspec.to_builtins(bill.lines), "dropped": msgspec.to_builtins(bill.drop)}
            for bill in compared.bills
        ],
        "difference": msgspec.to_builtins(compared.difference),
    }


def _rich(table: Table) -> RichTable:
    drawn = RichTable(title=table.title, title_justify="left", caption=table.note or None, caption_justify="left")
    for column in table.columns:
        drawn.add_column(column, overflow="fold")
    for place, row in enumerate(table.rows):
        cells = [escape(visible(cell)) for cell in row]
        drawn.add_row(*cells, style="yellow" if place in table.marked else None)
    return drawn


def _html(comparison: Comparison) -> Iterator[str]:
    items = [f"<strong>{as_text(plugin)}</strong> {as_text(words)}" for plugin, words in sides(comparison)]
    items += [f"left out: {as_text(note)}" for note in comparison.notes]
    yield "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>\n"
    for table in tables(comparison, LISTED_ON_A_PAGE):
        yield f"<h2>{as_text(table.title)}</h2>\n<table><thead><tr>"
        yield (
            "".join(f'<th scope="col">{as_text(column)}</th>' for column in table.columns) + "</tr></thead><tbody>\n"
        )
        for place, row in enumerate(table.rows):
            mark = ' class="differs"' if place in table.marked else ""
            yield f"<tr{mark}>" + "".join(f"<td>{as_text(cell)}</td>" for cell in row) + "</tr>\n"
        yield "</tbody></table>\n"
        if table.note:
            yield f'<p class="note">{as_text(table.note)}</p>\n'


def _row(cells: Iterator[str] | tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"
