"""A bounded, ordered pipeline between a stream of requests and a stream of responses.

Each element of the input is processed by a task of its own, many at once, and the results are delivered in the order
of the elements. Everything runs on the event loop, so there are no locks. One pipeline serves one call and has these
tasks:

- The caller's task iterates `results`. It awaits the oldest element, yields its result, and then frees its capacity.
- The reader (`_read`) takes elements from the input, waits until there is capacity, and starts their tasks.
- The watcher (`_watch`) waits for the shutdown of the worker and then stops the reader.
- One task per element that is in flight.

Backpressure: an element counts against the limits of elements and bytes from its reading until its result has been
taken. gRPC resumes the generator only when flow control lets the response go. So a client that does not read stops the
reader, HTTP/2 flow control then stops the client's sending, and memory does not depend on the length of the stream. One
element beyond the limits may be held by the reader while it waits.

End and cancellation:

- The input ends or raises: the results before that are delivered, then the error is raised.
- The task of an element raises: the results before it are delivered, then the error is raised and the tasks of all
  later elements are cancelled, which takes their texts out of the queue.
- The worker shuts down: elements that were accepted are completed, then `Draining` is raised. An element that is read
  later is dropped; the client sends it again to another worker.
- The call is cancelled or the generator closed: all tasks of elements are cancelled. The reader is not, because a
  read of gRPC that is cancelled in the middle breaks the call; it ends with the call.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from qda_worker.errors import Draining

# Elements in flight in one stream, as many as a batch is chosen from: so the texts of a batch have similar lengths.
MAX_IN_FLIGHT: Final = 512
# Bytes in flight in one stream; a single element may exceed it. Long texts share a queue window by window, so all that
# are in flight finish at about the same time: with a higher limit the first results would take minutes.
MAX_IN_FLIGHT_BYTES: Final = 2**18

Element = TypeVar("Element")
Result = TypeVar("Result")


class BoundedPipeline(Generic[Element, Result]):
    """Processes the elements of one stream concurrently and yields the results in order; see the module.

    Args:
        elements: the input.
        process: Computes the result of an element. An exception ends the stream after the results before it.
        size: returns the size of an element in bytes.
        draining: set when the worker shuts down.
        max_in_flight: the limit of elements in flight.
        max_in_flight_bytes: the limit of their bytes; a single element may exceed it.
        first_in_flight: the limit of elements at the beginning. Each result that is taken raises it by one, up to
            `max_in_flight`; None for `max_in_flight`.
    """

    def __init__(
        self,
        elements: AsyncIterator[Element],
        process: Callable[[Element], Coroutine[Any, Any, Result]],
        size: Callable[[Element], int],
        draining: asyncio.Event,
        *,
        max_in_flight: int = MAX_IN_FLIGHT,
        max_in_flight_bytes: int = MAX_IN_FLIGHT_BYTES,
        first_in_flight: int | None = None,
    ) -> None:
        self._elements = elements
        self._process = process
        self._size = size
        self._draining = draining
        self._limit = first_in_flight or max_in_flight
        self._max_in_flight = max_in_flight
        self._max_in_flight_bytes = max_in_flight_bytes
        self._tasks: deque[tuple[asyncio.Task[Result], int]] = deque()
        self._count = self._bytes = 0
        self._changed = asyncio.Event()  # there is a task to await, or the reader has stopped
        self._capacity_freed = asyncio.Event()
        self._stopped = False
        self._error: BaseException | None = None
        self._reader: asyncio.Task[None] | None = None

    async def results(self) -> AsyncGenerator[Result, None]:
        """Yield the results in the order of the elements. May be iterated once.

        Raises:
            Draining: when the worker shut down.
            Exception: that of the input or of `process`.
        """
        self._reader = asyncio.create_task(self._read())  # kept: the loop holds tasks by weak references only
        watcher = asyncio.create_task(self._watch())
        try:
            while True:
                while self._tasks:
                    task, size = self._tasks[0]
                    result = await task
                    self._tasks.popleft()
                    yield result
                    self._release(size)
                if self._stopped:
                    break
                self._changed.clear()
                await self._changed.wait()
            if self._error is not None:
                raise self._error
        finally:
            watcher.cancel()
            self._stop(None)
            for task, _ in self._tasks:
                task.cancel()

    async def _read(self) -> None:
        try:
            async for element in self._elements:
                size = self._size(element)
                while not self._stopped and not self._has_capacity(size):
                    self._capacity_freed.clear()
                    await self._capacity_freed.wait()
                if self._stopped:
                    return  # the element was never accepted
                self._count += 1
                self._bytes += size
                self._tasks.append((asyncio.create_task(self._process(element)), size))
                self._changed.set()
        except Exception as error:  # noqa: BLE001  # `results` raises it after the results before it
            self._stop(error)
        except asyncio.CancelledError:  # the call has ended
            self._stop(None)
            raise
        else:
            self._stop(None)

    async def _watch(self) -> None:
        await self._draining.wait()
        self._stop(Draining("this worker is shutting down; all documents that it accepted are answered"))

    def _has_capacity(self, size: int) -> bool:
        if not self._count:
            return True
        return self._count < self._limit and self._bytes + size <= self._max_in_flight_bytes

    def _release(self, size: int) -> None:
        self._count -= 1
        self._bytes -= size
        self._limit = min(self._limit + 1, self._max_in_flight)
        self._capacity_freed.set()

    def _stop(self, error: BaseException | None) -> None:
        """Stop reading and wake reader and consumer; the first call decides the error of the stream."""
        if not self._stopped:
            self._stopped, self._error = True, error
        self._changed.set()
        self._capacity_freed.set()
