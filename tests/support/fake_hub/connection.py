"""One HTTP/1.1 connection: reads requests, sends deliveries, and ends as a fault requires."""

import os
import socket
import ssl
import struct
import time
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, Final

from .answer import Answer, Body, body_length, chunks, take
from .delivery import Delivery, Ending

try:
    import fcntl
    import termios
except ImportError:  # Windows
    fcntl = termios = None  # type: ignore[assignment]  # modules or None

if TYPE_CHECKING:
    from .listener import Listener

_CHUNK: Final = 256 * 1024
_DRAIN_SECONDS: Final = 5.0
# Two numbers, on Windows short ones: switch lingering on, for 0 seconds.
_LINGER: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)


class Connection(BaseHTTPRequestHandler):
    """Reads requests and sends deliveries until either side closes."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Listener"

    def setup(self) -> None:
        super().setup()
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.do_handshake()  # not in the accepting thread, where a slow client would delay others

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        origin = self.headers.get("Host", self.server.origin)
        request = self.server.service.request(
            method=self.command,
            path=path,
            query=query,
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length", 0))),
            origin=origin,
        )
        delivery, number = self.server.service.receive(self.server.host, request)
        try:
            self._deliver(delivery, number)
        except ConnectionError:  # The client disconnected, or the listener closes.
            self.close_connection = True
        finally:
            self.server.service.log.end(number)

    do_HEAD = do_POST = do_DELETE = do_GET  # noqa: N815 - the names that http.server looks for

    def _deliver(self, delivery: Delivery, number: int | None) -> None:
        if delivery.ending is not Ending.PAUSE:
            self.server.pause(delivery.wait)
        if delivery.answer is None:
            self.close_connection = True
            return
        body = delivery.answer.body
        self._send_head(delivery.answer, delivery.states_length)
        if self.command == "HEAD":
            return
        if delivery.ending is Ending.KEEP_OPEN:
            self._send(body, number, delivery.bytes_per_second)
            return
        self._send(take(body, 0, delivery.stop_after), number)
        if delivery.ending is Ending.PAUSE:
            self.server.pause(delivery.wait)
            self._send(take(body, delivery.stop_after, body_length(body)), number)
            return
        self.close_connection = True
        if delivery.ending is Ending.RESET:
            self._reset()

    def _send_head(self, answer: Answer, states_length: bool) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not states_length:
            self.send_header("Connection", "close")  # This also makes the handler close it.
        elif "content-length" not in {name.lower() for name in answer.headers}:
            self.send_header("Content-Length", str(body_length(answer.body)))
        self.end_headers()

    def _send(self, body: Body, number: int | None, bytes_per_second: int | None = None) -> None:
        """Send a body, or a part of it, in twenty pieces a second if it has to be slow."""
        size = _CHUNK if bytes_per_second is None else max(bytes_per_second // 20, 1)
        for chunk in chunks(body, size):
            self.server.service.log.sent(number, len(chunk))
            try:
                self.connection.sendall(chunk)
            except ConnectionError:
                self.server.service.log.sent(number, -len(chunk))
                raise
            if bytes_per_second is not None:
                self.server.pause(len(chunk) / bytes_per_second)

    def _reset(self) -> None:
        """Close so that the peer sees a reset, once all that was sent is there (a reset discards the rest)."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while _unsent(self.connection) and time.monotonic() < deadline:
            time.sleep(0.002)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
        self.server.forget(self.connection)
        socket.close(self.connection.detach())

    def version_string(self) -> str:
        return "fake-hub"

    def log_message(self, format: str, *args: Any) -> None:
        """Do nothing: `request_log` has the requests."""


def _unsent(connection: socket.socket) -> int:
    """Bytes in the send queue that the peer has not acknowledged (Linux: SIOCOUTQ, which is TIOCOUTQ)."""
    if fcntl is None:
        return 0
    count = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return int.from_bytes(count, "little")
