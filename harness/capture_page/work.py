"""Work beside the event loop, in threads that neither hold up the process's end nor work for nobody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")


async def beside(work: Callable[[threading.Event], Result]) -> Result:
    """Return what ``work`` returns in a thread of its own; it raises what that raises.

    When this is cancelled the event that ``work`` is given is set. What it does not notice it goes on with, unheard.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()
    stop = threading.Event()

    def tell(result: Result | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # without an error there is one

    def run() -> None:
        result, failure = None, None
        try:
            result = work(stop)
        except Exception as error:
            failure = error
        try:
            loop.call_soon_threadsafe(tell, result, failure)
        except RuntimeError:  # the loop is closed: the process is ending
            return

    threading.Thread(target=run, daemon=True).start()
    try:
        return await done
    finally:
        stop.set()
