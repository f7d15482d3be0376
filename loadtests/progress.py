"""How far a load is, on a terminal; elsewhere nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from loadtests.plan import LoadPlan
from loadtests.stage import Progress as Step


@contextmanager
def progress(plan: LoadPlan, console: Console | None = None) -> Iterator[Callable[[Step], None]]:
    """Give a function that is told of each step."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield lambda step: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[counts]}"),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("starting", total=plan.duration, counts="")

        def tell(step: Step) -> None:
            bars.update(
                task, description=step.phase, completed=min(step.seconds, plan.duration), counts=_counts(step)
            )

        yield tell


def _counts(step: Step) -> str:
    if not step.requests:
        return ""
    waiting = "" if step.waiting is None else f" · {step.waiting:,} waiting"
    return f"{step.requests:,} requests · {step.accepted:,} events arrived{waiting}"
