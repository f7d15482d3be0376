"""A small line of one measure over the last runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.report.html_page import as_text, titled
from harness.report.svg_scales import LinearScale, from_zero

_WIDTH, _HEIGHT, _EDGE = 160, 32, 4.0


def sparkline(name: str, values: Sequence[float | None], words: Callable[[float], str]) -> str:
    """Return ``values``, oldest first, as an SVG element; the last one is marked. None is a run without a value."""
    x = LinearScale(0.0, max(len(values) - 1, 1), _EDGE, _WIDTH - _EDGE)
    y = from_zero((value for value in values if value is not None), _HEIGHT - _EDGE, _EDGE)
    at = [None if value is None else (x.place(place), y.place(value), value) for place, value in enumerate(values)]
    known = [each for each in at if each is not None]
    path = (
        f'<path class="first" d="M{"L".join(f"{left} {top}" for left, top, _ in known)}"/>' if len(known) > 1 else ""
    )
    dots = "".join(
        titled(
            f'<circle class="{"last-run" if place == len(known) - 1 else "run"}" cx="{left}" cy="{top}" r="3"/>',
            words(value),
        )
        for place, (left, top, value) in enumerate(known)
    )
    said = f"{name} of the last {len(values)} runs: " + ", ".join("none" if v is None else words(v) for v in values)
    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-label="{as_text(said)}"'
    return f'<svg class="spark" role="img" {box}>{path}{dots}</svg>'
