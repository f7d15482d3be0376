"""A scenario's deliveries as a picture: one row for each batch, its tries, and what the queue's settings allow them.

The SVG stands in an HTML page, whose style sheet gives the classes their colours. Shapes differ too: nothing is told
by colour alone, and each mark has its words as a tooltip.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from html import escape

from harness.conformance.deliveries import Deliveries, Try
from harness.conformance.scenario import MAIN_LANE
from harness.report.evidence import visible
from harness.report.html_page import titled
from harness.report.svg_scales import LinearScale, PassedScale, Scale
from harness.report.timeline import PlottedTry, Row, rows

WIDTH = 760
LEFT, RIGHT, TOP = 128, 20, 8
ROW, AXIS = 24, 34
#: Batches, and marks in a row, that still make a picture.
MOST_ROWS, MOST_MARKS = 40, 300
#: A window's end is drawn when it is at most this many times as late as the last thing that happened.
WORTH = 4.0
#: From this ratio of the whole to its smallest step on, the axis is logarithmic.
WIDE = 200.0


def plot(deliveries: Deliveries, title: str) -> str:
    """Return the picture as an SVG element, or an empty string when nothing was sent or lost."""
    batches = rows(deliveries)
    if not batches and not deliveries.lost:
        return ""
    shown = batches[:MOST_ROWS]
    axis = _axis(shown, deliveries)
    drawn = [*_grid(axis, len(shown) + bool(deliveries.lost))]
    for index, row in enumerate(shown):
        drawn += _row(row, index, axis)
    if deliveries.lost:
        drawn += _lost(deliveries, len(shown), axis)
    height = TOP + (len(shown) + bool(deliveries.lost)) * ROW + AXIS
    tried = f"{len(deliveries.tries)} tries of {len(batches)} batches, {len(deliveries.lost)} entries lost"
    off = sum(one.off is not None for row in batches for one in row.tries)
    words = f"{visible(title)}: {tried}" + (f", {off} not when the settings allow" if off else "")
    picture = (
        f'<svg class="plot" role="img" viewBox="0 0 {WIDTH} {height}" aria-label="{escape(words)}">'
        f"{''.join(drawn)}</svg>"
    )
    more = len(batches) - len(shown)
    return picture + (f'<p class="note">{more} batches more are not drawn.</p>' if more else "")


def _axis(shown: Sequence[Row], deliveries: Deliveries) -> Scale:
    times = [one.at for one in deliveries.lost]
    for row in shown:
        for one in row.tries:
            times += [one.made.at, one.made.at + (one.made.seconds or 0.0), *one.made.entered[:MOST_MARKS]]
            if one.allowed is not None:
                times.append(one.allowed.start)
    end = max(times)
    ends = [one.allowed.end for row in shown for one in row.tries if one.allowed is not None and one.allowed.end]
    # A window that nobody waited for would leave no room for what happened: it runs out of the picture.
    end = max([end, *(one for one in ends if one <= WORTH * end)])
    start = 0.0 if deliveries.exact else max(0.0, min(times) - (end - min(times)) * 0.05)
    end += max((end - start) * 0.04, 1e-3)
    tried = sorted({round(one.made.at, 6) for row in shown for one in row.tries} | {start})
    gaps = [after - before for before, after in itertools.pairwise(tried)]
    smallest = min(gaps, default=end - start) or end - start
    if (end - start) / smallest > WIDE:
        return PassedScale(start, end, LEFT, WIDTH - RIGHT, smallest)
    return LinearScale(start, end, LEFT, WIDTH - RIGHT)


def _grid(axis: Scale, count: int) -> Iterator[str]:
    bottom = TOP + count * ROW
    for at in axis.ticks():
        x = axis.place(at)
        yield f'<line class="grid" x1="{x}" y1="{TOP}" x2="{x}" y2="{bottom}"/>'
        yield f'<text class="tick" x="{x}" y="{bottom + 14}" text-anchor="middle">{at:.6g}</text>'
    words = "seconds, logarithmic" if axis.logarithmic else "seconds"
    yield f'<text class="tick" x="{WIDTH - RIGHT}" y="{bottom + 29}" text-anchor="end">{words}</text>'


def _row(row: Row, index: int, axis: Scale) -> Iterator[str]:
    top = TOP + index * ROW
    middle = top + ROW / 2
    lane = "" if row.lane == MAIN_LANE else f" {row.lane}"
    name = visible(f"batch {row.batch}{lane}")
    yield f'<text class="label" x="0" y="{middle + 4}">{escape(name[:20])}</text>'
    for one in row.tries:
        yield from _allowed(one, top, axis)
    if row.last_failure is not None and axis.start <= row.last_failure <= axis.end:
        x = axis.place(row.last_failure)
        words = f"a try that fails after {row.last_failure:.6g} s is the last one (max_retry_time)"
        yield titled(f'<line class="last" x1="{x}" y1="{top + 2}" x2="{x}" y2="{top + ROW - 2}"/>', words)
    if row.tries:
        for at in list(dict.fromkeys(row.tries[0].made.entered))[:MOST_MARKS]:  # those of one instant are one mark
            x = axis.place(at)
            line = f'<line class="entered" x1="{x}" y1="{top + ROW - 7}" x2="{x}" y2="{top + ROW - 2}"/>'
            yield titled(line, f"an entry came at {at:.6g} s")
    for one in row.tries[:MOST_MARKS]:
        yield _mark(one, middle, axis)


def _allowed(one: PlottedTry, top: int, axis: Scale) -> Iterator[str]:
    """Yield the band in which the try may lie. One without an end is drawn up to the try: later is no mistake."""
    if one.allowed is None:
        return
    x = axis.place(one.allowed.start)
    end = one.allowed.end if one.allowed.end is not None else max(one.made.at, one.allowed.start)
    width = round(max(axis.place(end) - x, 5.0), 1)
    if one.allowed.kind == "window":
        words = f"window {one.allowed.start:.6g} … {end:.6g} s: a full batch may leave in it, any other at its end"
    elif one.allowed.end is None:
        words = f"try {one.made.number + 1} not before {one.allowed.start:.6g} s; later is no mistake"
    else:
        words = f"try {one.made.number + 1} at {one.allowed.start:.6g} s"
    left = x if one.allowed.kind == "window" or one.allowed.end is None else round(x - width / 2, 1)
    band = f'<rect class="{one.allowed.kind}" x="{left}" y="{top + 4}" width="{width}" height="{ROW - 8}" rx="2"/>'
    yield titled(band, words)


def _mark(one: PlottedTry, y: float, axis: Scale) -> str:
    x = axis.place(one.made.at)
    words = describe(one.made) + (f", too {one.off} for the settings" if one.off else "")
    if one.off:
        shape = f'<path class="off" d="M{x} {y - 7}l7 12h-14z"/>'
    elif one.made.succeeded:
        shape = f'<circle class="taken" cx="{x}" cy="{y}" r="5"/>'
    else:
        shape = f'<path class="refused" d="M{x - 4} {y - 4}l8 8m0 -8l-8 8"/>'
    return titled(shape, words)


def describe(one: Try) -> str:
    """Return one try in words."""
    answer = "no answer" if one.status is None else str(one.status)
    size = f"{one.events} event{'' if one.events == 1 else 's'}"
    return f"{one.at:.6g} s: batch {one.batch}, try {one.number + 1}, {one.shape} of {size}, {answer}"


def _lost(deliveries: Deliveries, index: int, axis: Scale) -> Iterator[str]:
    y = TOP + index * ROW + ROW / 2
    yield f'<text class="label" x="0" y="{y + 4}">lost ({len(deliveries.lost)})</text>'
    for one in deliveries.lost[:MOST_MARKS]:
        shape = f'<path class="lost" d="M{axis.place(one.at)} {y - 6}l5 6l-5 6l-5 -6z"/>'
        yield titled(shape, f"{one.at:.6g} s: {one.entry} lost, {one.reason}")
