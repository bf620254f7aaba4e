"""The end of a process whose threads may still be at work."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from qda_worker.registry.cache_watch import LOAD_THREAD_PREFIX, run_in_daemon_thread
from qda_worker.server.lifecycle import leave


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith(LOAD_THREAD_PREFIX):
            thread.join(30)


async def test_what_a_thread_makes_or_raises_is_given_to_who_waits() -> None:
    assert await run_in_daemon_thread("load-x", lambda: 3) == 3
    with pytest.raises(KeyError):
        await run_in_daemon_thread("load-x", lambda: dict[str, int]()["missing"])


def test_the_end_of_the_loop_does_not_wait_for_a_thread(gate: threading.Event) -> None:
    async def begin() -> None:
        task = asyncio.create_task(run_in_daemon_thread("load-slow", lambda: gate.wait(30)))
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(begin())
    assert not gate.is_set()


def test_a_process_that_still_loads_ends_at_once_with_its_code(gate: threading.Event) -> None:
    ended: list[int] = []
    assert leave(0, ended.append) == 0
    assert ended == []
    thread = threading.Thread(target=gate.wait, args=(30,), name="load-slow", daemon=True)
    thread.start()
    leave(7, ended.append)
    assert ended == [7]
