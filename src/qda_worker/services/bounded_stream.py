"""A stream in and a stream out, in order and bounded: between them lie only so many elements and bytes.

What is asked for next is read only when there is room, and room is made only by delivering: so a client that does not
read stops the server from computing on, and memory does not depend on the stream's length.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from qda_worker.errors import Draining

In = TypeVar("In")
Out = TypeVar("Out")

# Elements under way in one stream: four batches of short texts for each model.
MOST: Final = 256
# Bytes under way in one stream; one element passes in any case. Long texts take turns in a queue, part by
# part, so all that are under way end at about the same time: with more of them the first results would come
# after minutes.
MOST_BYTES: Final = 2**18


class BoundedPipeline(Generic[In, Out]):
    """Carries one stream's elements through `work`, many at once, and gives the results in the elements' order.

    work: makes the result of an element; what it raises ends the flow after the results before it.
    size: bytes of an element. ending: when set, nothing more is read, and the flow ends with Draining after the results
    of all that was read before.
    """

    def __init__(
        self,
        incoming: AsyncIterator[In],
        work: Callable[[In], Coroutine[Any, Any, Out]],
        size: Callable[[In], int],
        ending: asyncio.Event,
        *,
        most: int = MOST,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._incoming = incoming
        self._work = work
        self._size = size
        self._ending = ending
        self._most = most
        self._most_bytes = most_bytes
        self._under_way: deque[tuple[asyncio.Task[Out], int]] = deque()
        self._count = self._bytes = 0
        self._changed = asyncio.Event()  # something to deliver, or the end of the reading
        self._room = asyncio.Event()
        self._stopped = False
        self._end: BaseException | None = None
        self._reading: asyncio.Task[None] | None = None

    async def results(self) -> AsyncGenerator[Out, None]:
        """The results, as they are taken. Raises what reading or `work` raised, and Draining."""
        # Never cancelled: gRPC's read of a message must run to its end. It ends with the call at the latest.
        self._reading = asyncio.create_task(self._read())
        watching = asyncio.create_task(self._watch())
        try:
            while True:
                while self._under_way:
                    task, size = self._under_way[0]
                    result = await task
                    self._under_way.popleft()
                    yield result
                    self._leave(size)
                if self._stopped:
                    break
                self._changed.clear()
                await self._changed.wait()
            if self._end is not None:
                raise self._end
        finally:
            watching.cancel()
            self._stop(None)
            for task, _ in self._under_way:
                task.cancel()

    async def _read(self) -> None:
        try:
            async for element in self._incoming:
                size = self._size(element)
                while not self._stopped and not self._fits(size):
                    self._room.clear()
                    await self._room.wait()
                if self._stopped:
                    return  # read too late: it was never accepted
                self._count += 1
                self._bytes += size
                self._under_way.append((asyncio.create_task(self._work(element)), size))
                self._changed.set()
        except Exception as error:  # noqa: BLE001  # told after the results of what came before
            self._stop(error)
        except asyncio.CancelledError:  # the call is over
            self._stop(None)
            raise
        else:
            self._stop(None)

    async def _watch(self) -> None:
        await self._ending.wait()
        self._stop(Draining("this worker is ending; all documents that it accepted are answered"))

    def _fits(self, size: int) -> bool:
        return not self._count or (self._count < self._most and self._bytes + size <= self._most_bytes)

    def _leave(self, size: int) -> None:
        self._count -= 1
        self._bytes -= size
        self._room.set()

    def _stop(self, end: BaseException | None) -> None:
        """Accept nothing more; the first reason counts."""
        if not self._stopped:
            self._stopped, self._end = True, end
        self._changed.set()
        self._room.set()
