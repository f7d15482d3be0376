"""Plots as SVG: lines over time, bars, a distribution. They stand in a page whose style sheet has their colours.

No line is told by colour alone: each has its own dashes, and every place its numbers as a tooltip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.report.html_page import as_text, titled
from harness.report.svg_scales import Scale

WIDTH, HEIGHT = 760, 240
LEFT, RIGHT, TOP, BOTTOM = 64.0, WIDTH - 16.0, 36.0, HEIGHT - 36.0
#: So many tooltips beside each other can still be told apart by a pointer.
MOST_STRIPS = 240
#: A band at least so wide has its words above it.
_ROOM_FOR_WORDS = 70.0

Words = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Line:
    """A line through ``points``; a None among them is a gap. ``style`` is the class of its colour and dashes."""

    name: str
    style: str
    points: Sequence[tuple[float, float] | None]


@dataclass(frozen=True, slots=True)
class Level:
    """A value to be marked all the way across."""

    name: str
    value: float


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of the x axis on which something was special; ``style`` is its class, ``name`` that of its kind."""

    name: str
    words: str
    style: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Strip:
    """A stretch of the x axis with the words that show when it is pointed at."""

    start: float
    end: float
    words: str


@dataclass(frozen=True, slots=True)
class Axes:
    """The two scales of a plot, how their values are written, and what they are, with the unit."""

    x: Scale
    y: Scale
    x_title: str
    y_title: str
    x_words: Words
    y_words: Words
    x_ticks: Sequence[float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """Everything that a plot shows. ``words`` say it to those who do not see it."""

    words: str
    axes: Axes
    bands: Sequence[Band] = ()
    bars: Sequence[tuple[float, float, float, str]] = ()
    lines: Sequence[Line] = ()
    levels: Sequence[Level] = ()
    strips: Sequence[Strip] = ()

    def svg(self) -> str:
        """Return the picture as an SVG element, with the names of its lines below."""
        drawn = "".join((*self._bands(), *_grid(self.axes), *self._bars(), *self._levels(), *self._lines()))
        hover = "".join(self._strips())
        picture = (
            f'<svg class="plot" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" aria-label="{as_text(self.words)}">'
            f"{drawn}{hover}</svg>"
        )
        return picture + self._key()

    def _bands(self) -> Iterator[str]:
        for band in self.bands:
            x, end = self.axes.x.place(band.start), self.axes.x.place(band.end)
            width = round(max(end - x, 2.0), 1)
            area = f'<rect class="{band.style}" x="{x}" y="{TOP}" width="{width}" height="{BOTTOM - TOP}"/>'
            yield titled(area, band.words)
            if width >= _ROOM_FOR_WORDS:
                words = as_text(_shortened(band.words, int(width / 6)))
                yield f'<text class="tick" x="{x}" y="{TOP - 4}">{words}</text>'

    def _bars(self) -> Iterator[str]:
        for start, end, value, words in self.bars:
            x, right, y = self.axes.x.place(start), self.axes.x.place(end), self.axes.y.place(value)
            width, height = round(max(right - x - 1, 1.0), 1), round(max(BOTTOM - y, 1.0), 1)
            top = round(BOTTOM - height, 1)
            yield titled(f'<rect class="bar" x="{x}" y="{top}" width="{width}" height="{height}"/>', words)

    def _levels(self) -> Iterator[str]:
        for level in self.levels:
            y = self.axes.y.place(level.value)
            line = f'<line class="level" x1="{LEFT}" y1="{y}" x2="{RIGHT}" y2="{y}"/>'
            yield titled(line, f"{level.name}: {self.axes.y_words(level.value)}")

    def _lines(self) -> Iterator[str]:
        for line in self.lines:
            yield from _line(line, self.axes)

    def _strips(self) -> Iterator[str]:
        for strip in self.strips:
            x, end = self.axes.x.place(strip.start), self.axes.x.place(strip.end)
            area = f'<rect class="strip" x="{x}" y="{TOP}" width="{round(end - x, 1)}" height="{BOTTOM - TOP}"/>'
            yield titled(area, strip.words)

    def _key(self) -> str:
        marks = [(line.name, f'<line class="{line.style}" x1="1" y1="8" x2="35" y2="8"/>') for line in self.lines]
        marks += [(level.name, '<line class="level" x1="1" y1="8" x2="35" y2="8"/>') for level in self.levels]
        styles = {band.name: band.style for band in self.bands}
        marks += [
            (name, f'<rect class="{style}" x="1" y="1" width="34" height="14"/>') for name, style in styles.items()
        ]
        items = [
            f'<li><svg viewBox="0 0 36 16" aria-hidden="true">{mark}</svg> {as_text(name)}</li>'
            for name, mark in marks
        ]
        return f'<ul class="key">{"".join(items)}</ul>' if items else ""


def _grid(axes: Axes) -> Iterator[str]:
    for value in axes.y.ticks():
        y = axes.y.place(value)
        yield f'<line class="grid" x1="{LEFT}" y1="{y}" x2="{RIGHT}" y2="{y}"/>'
        words = as_text(axes.y_words(value))
        yield f'<text class="tick" x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{words}</text>'
    for value in axes.x.ticks() if axes.x_ticks is None else axes.x_ticks:
        x = axes.x.place(value)
        yield f'<line class="grid" x1="{x}" y1="{BOTTOM}" x2="{x}" y2="{BOTTOM + 4}"/>'
        words = as_text(axes.x_words(value))
        yield f'<text class="tick" x="{x}" y="{BOTTOM + 16}" text-anchor="middle">{words}</text>'
    yield f'<line class="axis" x1="{LEFT}" y1="{BOTTOM}" x2="{RIGHT}" y2="{BOTTOM}"/>'
    for x_at, y_at, anchor, title, scale in (
        (0.0, TOP - 22, "start", axes.y_title, axes.y),
        (RIGHT, BOTTOM + 31, "end", axes.x_title, axes.x),
    ):
        words = as_text(title + (", logarithmic" if scale.logarithmic else ""))
        yield f'<text class="tick" x="{x_at}" y="{y_at}" text-anchor="{anchor}">{words}</text>'


def _line(line: Line, axes: Axes) -> Iterator[str]:
    """Yield the pieces between gaps; a piece of one point is a dot."""
    piece: list[str] = []
    for point in (*line.points, None):
        if point is not None:
            piece.append(f"{axes.x.place(point[0])} {axes.y.place(point[1])}")
        elif piece:
            if len(piece) == 1:
                x, y = piece[0].split()
                yield f'<circle class="{line.style} dot" cx="{x}" cy="{y}" r="2.5"/>'
            else:
                yield f'<path class="{line.style}" d="M{"L".join(piece)}"/>'
            piece = []


def _shortened(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"
