"""Free memory of the heaps goes back to the kernel, at once and regularly."""

import asyncio
import subprocess
import sys
import threading
from typing import Final

import pytest

from qda_worker.heap import return_free_memory_regularly

# Between the freed blocks every hundredth stays, so that the heap cannot shrink at its end.
PROGRAM: Final = """
import re
from pathlib import Path
from qda_worker.heap import return_free_memory
def private():
    return int(re.search(r"Private_Dirty: +([0-9]+)", Path("/proc/self/smaps_rollup").read_text())[1]) // 1024
before = private()
blocks = [b"x" * 60_000 for _ in range(2000)]
kept = blocks[::100]
blocks.clear()
free = private() - before
return_free_memory()
print(free, private() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="malloc_trim belongs to glibc")
def test_memory_that_is_free_between_used_blocks_is_returned() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    free, after = map(int, done.stdout.split())

    assert free > 80
    assert after < 20


def test_it_is_returned_again_and_again_in_a_thread() -> None:
    threads: list[str] = []
    thrice = threading.Event()

    def action() -> None:
        threads.append(threading.current_thread().name)
        if len(threads) == 3:
            thrice.set()

    async def run() -> None:
        task = asyncio.create_task(return_free_memory_regularly(0.001, action))
        assert await asyncio.to_thread(thrice.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert threading.current_thread().name not in threads
