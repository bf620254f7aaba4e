"""Run a blocking function in a daemon thread, for work that the end of the process must not wait for."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, cast

_Result = TypeVar("_Result")


async def run_in_daemon_thread(name: str, function: Callable[[], _Result]) -> _Result:
    """Run a blocking function in its own daemon thread, and return its result or raise its exception.

    The threads of an executor are joined when the interpreter exits; a daemon thread is not. If the calling task is
    cancelled, the thread continues and its result is discarded.

    Args:
        name: name of the thread.
        function: the blocking function.

    Raises:
        BaseException: that of the function.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Result] = loop.create_future()

    def set_result(result: _Result | None, error: BaseException | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast("_Result", result))

    def run() -> None:
        result, failure = None, None
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001  # raised in the task that waits
            failure = error
        with suppress(RuntimeError):  # the loop is closed: no task waits any more
            loop.call_soon_threadsafe(set_result, result, failure)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await future
