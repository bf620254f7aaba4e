"""Returns what glibc's heaps keep free to the kernel: after the load of a model, and once a minute.

glibc gives memory back only from the end of a heap. Kernels that a library compiles for a shape, and buffers of every
size, come and go in between, so that the heaps grow for an hour without a leak: one layer of BERT base computed 466
different shapes, after which 46 of 74 MB were free (measured). A call takes some milliseconds, in which threads that
allocate may wait, and what it returned is zeroed when it is used again.

`return_free_memory_regularly` runs in the event loop and calls in a thread. Other C libraries do this by themselves, or
cannot: there nothing happens. The process of a spaCy model keeps its heap, see `spacy_child`.
"""

import asyncio
import ctypes
from collections.abc import Callable
from contextlib import suppress
from typing import Final

# Seconds between two calls.
_INTERVAL: Final = 60.0


def return_free_memory() -> None:
    """Return the free memory of all heaps of this process. Any thread may call this."""
    with suppress(OSError, AttributeError):  # the C library has no such function
        ctypes.CDLL(None).malloc_trim(0)


async def return_free_memory_regularly(
    interval: float = _INTERVAL, action: Callable[[], None] = return_free_memory
) -> None:
    """Call `return_free_memory` again and again, until cancelled.

    Args:
        interval: seconds before each call.
        action: what is called, in a thread.
    """
    while True:
        await asyncio.sleep(interval)
        await asyncio.to_thread(action)
