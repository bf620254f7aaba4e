"""The bytes that a client is sent: in pieces, so that a client that does not take them is noticed.

A piece is written when the one before it has been taken but for a small rest. So a slow client holds neither the
system's buffers nor a second copy of its response, and the progress that `client_limits.Patience` asks for is visible.
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from qda_worker.http.client_limits import ClientLimits, Patience
from qda_worker.http.memory import BodyMemory

_PIECE_BYTES: Final = 64 * 2**10
# Without it Linux lets the buffer of a socket grow to 4 MB, and a slow client seems to take nothing for minutes.
_SOCKET_BUFFER_BYTES: Final = 128 * 2**10


class Outgoing:
    """What is sent on one connection.

    Args:
        writer: of asyncio.
        limits: how slow the client may be.
        memory: where the bytes count until they have been taken.
    """

    def __init__(self, writer: asyncio.StreamWriter, limits: ClientLimits, memory: BodyMemory) -> None:
        self._writer = writer
        self._limits = limits
        self._memory = memory
        self._patience = Patience(limits)
        writer.transport.set_write_buffer_limits(high=_PIECE_BYTES)
        client = writer.get_extra_info("socket")
        if client is not None:
            with suppress(OSError):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)

    def begin(self) -> None:
        """Begin a response."""
        self._patience = Patience(self._limits)

    async def send(self, parts: Sequence[bytes]) -> None:
        """Send bytes; return when the client has taken them but for a small rest.

        Raises:
            TimeoutError: when the client does not take them; the connection is then closed.
            ConnectionError: when the client has gone.
        """
        size = sum(map(len, parts))
        self._memory.charge(size)
        try:
            for piece in _pieces(parts):
                await self._send(piece)
        finally:
            self._memory.give_back(size)

    async def _send(self, piece: Sequence[bytes | memoryview]) -> None:
        began = time.monotonic()
        self._writer.writelines(piece)
        try:
            async with asyncio.timeout(max(0.0, self._patience.seconds)):
                await self._writer.drain()
        except TimeoutError:
            self._writer.transport.abort()
            raise
        self._patience.spend(began, sum(map(len, piece)))


def _pieces(parts: Sequence[bytes]) -> list[list[bytes | memoryview]]:
    """Divide bytes into pieces; what is short stays together."""
    if sum(map(len, parts)) <= _PIECE_BYTES:
        return [list(parts)]
    return [
        [memoryview(part)[start : start + _PIECE_BYTES]]
        for part in parts
        for start in range(0, len(part), _PIECE_BYTES)
    ]
