"""Blocking work that the end of the process must not wait for: loading a model takes minutes, and nobody needs it then.

Threads of an executor are joined when the program ends; these are not.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, TypeVar, cast

_Made = TypeVar("_Made")

LOADING: Final = "load-"
"""How the names of threads begin that load a model."""


async def in_daemon_thread(name: str, make: Callable[[], _Made]) -> _Made:
    """What `make` gives or raises, in a thread of its own. Cancelled, it goes on unheard."""
    loop = asyncio.get_running_loop()
    made: asyncio.Future[_Made] = loop.create_future()

    def tell(result: _Made | None, error: BaseException | None) -> None:
        if made.done():
            return
        if error is not None:
            made.set_exception(error)
        else:
            made.set_result(cast("_Made", result))

    def run() -> None:
        result, failure = None, None
        try:
            result = make()
        except BaseException as error:  # noqa: BLE001  # raised where it is waited for
            failure = error
        with suppress(RuntimeError):  # the loop has ended: nobody waits
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await made
