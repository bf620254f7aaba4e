"""The bytes that a client sends: read with a time limit, and read ahead while its request is answered.

Reading ahead detects that the client has gone, and holds what it sends ahead (pipelining) until its turn. When
`MAX_AHEAD_BYTES` are held no more are read, and only the close of the socket is looked for, every second; behind more
bytes than the system's buffer takes it does not arrive before the response is sent. A read is never cancelled, so that
no byte is lost.
"""

import asyncio
import select
import time
from collections.abc import Callable
from typing import Final

# Bytes that are held beyond the current request; asyncio's reader holds up to twice as many before it.
MAX_AHEAD_BYTES: Final = 64 * 2**10
_CHUNK_BYTES: Final = 64 * 2**10
_LOOK_SECONDS: Final = 1.0
# The peer has closed its side, or the connection is broken; Linux has the first.
_GONE: Final = getattr(select, "POLLRDHUP", 0) | getattr(select, "POLLHUP", 0) | getattr(select, "POLLERR", 0)


class Incoming:
    """What arrives on one connection.

    Args:
        reader: of asyncio.
        writer: its counterpart, for the socket.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ahead = bytearray()
        self._ended = False
        self._error: BaseException | None = None
        self._changed = asyncio.Event()
        self._reading: asyncio.Future[bytes] | None = None
        self._on_gone: Callable[[], object] | None = None
        self._look: asyncio.TimerHandle | None = None

    @property
    def at_end(self) -> bool:
        """Whether the client has closed its side, and all that it sent was read."""
        return self._ended and not self._ahead

    async def read(self, seconds: float | None) -> bytes:
        """Return the next bytes of the client; none at the end.

        Raises:
            TimeoutError: when none arrive in time; a later call returns them.
            ConnectionError: when the connection is broken.
        """
        async with asyncio.timeout(seconds):
            while not self._ahead and not self._ended:
                self._changed.clear()
                self._begin()
                await self._changed.wait()
        if self._ahead:
            data = bytes(self._ahead)
            self._ahead.clear()
            return data
        if self._error is not None:
            raise self._error
        return b""

    def unread(self, data: bytes) -> None:
        """Put bytes back, so that the next read returns them first."""
        self._ahead[:0] = data

    async def skip_empty_lines(self, seconds: float, limit: int) -> None:
        """Read until there is more than empty lines, and drop them; see RFC 9112, 2.2.

        Args:
            seconds: to wait.
            limit: of bytes that are dropped.

        Raises:
            TimeoutError: when nothing else arrives in time.
            ConnectionError: when the connection is broken.
        """
        end = time.monotonic() + seconds
        while limit > 0:
            data = await self.read(max(0.0, end - time.monotonic()))
            kept = data.lstrip(b"\r\n")
            if kept or not data:
                self.unread(kept)
                return
            limit -= len(data)

    def watch(self, on_gone: Callable[[], object]) -> None:
        """Read ahead, and call `on_gone` when the client has gone, until `unwatch`."""
        self._on_gone = on_gone
        self._read_ahead()

    def unwatch(self) -> None:
        """Read ahead no more."""
        self._on_gone = None
        if self._look is not None:
            self._look.cancel()
            self._look = None

    def close(self) -> None:
        """End reading."""
        self.unwatch()
        if self._reading is not None:
            self._reading.cancel()

    def _begin(self) -> None:
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._reader.read(_CHUNK_BYTES))
            self._reading.add_done_callback(self._on_read)

    def _on_read(self, reading: "asyncio.Future[bytes]") -> None:
        self._reading = None
        if reading.cancelled():
            self._ended = True
        elif (error := reading.exception()) is not None:
            self._ended, self._error = True, error
        elif data := reading.result():
            self._ahead += data
        else:
            self._ended = True
        self._changed.set()
        self._read_ahead()

    def _read_ahead(self) -> None:
        if self._on_gone is None:
            return
        if self._ended:
            self._report_gone()
        elif len(self._ahead) < MAX_AHEAD_BYTES:
            self._begin()
        elif self._look is None:
            self._look = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look_for_close)

    def _look_for_close(self) -> None:
        self._look = None
        if self._writer.transport.is_closing() or _is_closed(self._writer):
            self._report_gone()
        else:
            self._read_ahead()

    def _report_gone(self) -> None:
        on_gone = self._on_gone
        self.unwatch()
        if on_gone is not None:
            on_gone()


def _is_closed(writer: asyncio.StreamWriter) -> bool:
    """Return whether the client has closed its side, although bytes of it are still unread."""
    client = writer.get_extra_info("socket")
    if not _GONE or client is None or client.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(client.fileno(), _GONE)
    return any(events & _GONE for _, events in poll.poll(0))
