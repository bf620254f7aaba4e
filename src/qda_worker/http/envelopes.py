"""Messages of a stream of the Connect protocol: each has a byte of flags and a length in four bytes before it.

See https://connectrpc.com/docs/protocol#streaming-rpcs. The last message of a response has the flag `END_STREAM` and
holds the error of the call, if any, as JSON.
"""

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from qda_worker.errors import ArgumentInvalid, RequestTooLarge
from qda_worker.http.exchange import ClientDisconnected, Exchange, RequestRefused
from qda_worker.limits import MAX_REQUEST_BYTES

COMPRESSED: Final = 0b01
END_STREAM: Final = 0b10

_PREFIX: Final = struct.Struct(">BI")
# Bytes of the longest message with its prefix.
MAX_ENVELOPE_BYTES: Final = _PREFIX.size + MAX_REQUEST_BYTES


def pack(message: bytes, flags: int = 0) -> bytes:
    """Return a message with its prefix."""
    return _PREFIX.pack(flags, len(message)) + message


class EnvelopeReader(AsyncIterator[Any]):
    """The messages of a stream of requests, as the handler is given them.

    Args:
        exchange: the request.
        read: returns what the handler is given for the bytes of a message.
        decompress: decompresses a message, and takes the memory for it; None where the client announced no encoding.
        is_single: whether the stream is one message, which has to arrive at the rate of a body.
    """

    def __init__(
        self,
        exchange: Exchange,
        read: Callable[[bytes], Any],
        decompress: Callable[[bytes], Awaitable[bytes]] | None,
        *,
        is_single: bool = False,
    ) -> None:
        self._parts = exchange.transport.body(streamed=not is_single)
        self._memory = exchange.transport.memory
        self._held = 0  # bytes of memory that the message before takes, until the next one is asked for
        self._read = read
        self._decompress = decompress
        self._buffer = bytearray()

    async def __anext__(self) -> Any:
        """Return the next message.

        Raises:
            WorkerError: when the bytes are no message, or it is too long.
            CancelledError: when the client has gone.
        """
        try:
            return await self._next()
        except ClientDisconnected as error:
            raise asyncio.CancelledError from error
        except RequestRefused as refused:
            raise refused.error from None

    async def only(self) -> Any:
        """Return the message of a stream that has exactly one.

        Raises:
            RequestRefused: when it arrives too slowly, or there is no memory for it.
            WorkerError: when there is not exactly one.
            ClientDisconnected: when the client closed the connection before its end.
        """
        message: Any = None
        wrong = ArgumentInvalid("the request of this method is exactly one message", "send one message")
        try:
            message = await self._next()
        except StopAsyncIteration:
            raise wrong from None
        if await self._fill(1):
            raise wrong
        return message

    async def _next(self) -> Any:
        self._memory.give_back(self._held)
        self._held = 0
        if not await self._fill(_PREFIX.size):
            if self._buffer:
                raise ArgumentInvalid("the stream ends within a message", "send each message whole")
            raise StopAsyncIteration
        flags, size = _PREFIX.unpack_from(self._buffer)
        if flags & ~COMPRESSED or (flags and self._decompress is None):
            raise ArgumentInvalid(
                "a message of the stream has unknown flags", "send each message with its prefix"
            )
        if size > MAX_REQUEST_BYTES:
            raise RequestTooLarge(f"a message of the stream is longer than {MAX_REQUEST_BYTES} bytes")
        if not await self._fill(_PREFIX.size + size):
            raise ArgumentInvalid("the stream ends within a message", "send each message whole")
        message = bytes(self._buffer[_PREFIX.size : _PREFIX.size + size])
        del self._buffer[: _PREFIX.size + size]
        self._held = _PREFIX.size + size
        if flags & COMPRESSED and self._decompress is not None:
            message = await self._decompress(message)
            self._held += len(message)
        return self._read(message)

    async def _fill(self, size: int) -> bool:
        while len(self._buffer) < size:
            part = await anext(self._parts, None)
            if part is None:
                return False
            self._memory.take(len(part))
            self._buffer += part
        return True
