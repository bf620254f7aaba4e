"""Blocking work in daemon threads: its result reaches the event loop, and the end of the loop does not wait for it."""

import asyncio
import threading

import pytest

from qda_worker.registry.daemon_thread import run_in_daemon_thread


async def test_the_result_or_the_exception_of_a_thread_reaches_the_caller() -> None:
    assert await run_in_daemon_thread("load-x", lambda: 3) == 3
    with pytest.raises(KeyError):
        await run_in_daemon_thread("load-x", lambda: dict[str, int]()["missing"])


def test_the_end_of_the_loop_does_not_wait_for_a_thread() -> None:
    release = threading.Event()

    async def start_and_cancel() -> None:
        task = asyncio.create_task(run_in_daemon_thread("load-slow", lambda: release.wait(30)))
        await asyncio.sleep(0)
        task.cancel()

    try:
        asyncio.run(start_and_cancel())
        assert not release.is_set()
    finally:
        release.set()
        for thread in threading.enumerate():
            if thread.name == "load-slow":
                thread.join(30)
