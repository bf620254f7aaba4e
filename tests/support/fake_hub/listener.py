"""A listening socket with its threads, all of which it ends and joins when it closes."""

import contextlib
import socket
import socketserver
import ssl
import sys
import threading
from typing import Any

from .connection import Connection
from .request_log import Host
from .service import Service


class Listener(socketserver.ThreadingTCPServer):
    """One listening socket with a thread for itself and one for each connection; `close` ends them all."""

    allow_reuse_address = True
    daemon_threads = False  # Joined by close.
    request_queue_size = 128

    def __init__(
        self, host: Host, address: tuple[str, int], service: Service, tls: ssl.SSLContext | None
    ) -> None:
        self.host: Host = host
        self.service = service
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._tls = tls
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, Connection)
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.05}, name=f"fake-hub-{host}"
        )
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def origin(self) -> str:
        """Host and port under which this machine reaches it."""
        host = str(self.server_address[0])
        here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"[{here}]:{self.port}" if ":" in here else f"{here}:{self.port}"

    def pause(self, seconds: float | None) -> None:
        """Wait (None: without limit).

        Raises:
            ConnectionAbortedError: the listener closes meanwhile.
        """
        if seconds != 0 and self._closing.wait(seconds):
            raise ConnectionAbortedError

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with self._lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self.forget(request)
        super().shutdown_request(request)

    def forget(self, connection: socket.socket) -> None:
        with self._lock:
            self._open.discard(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Show it, unless the client disconnected or refused the certificate."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)

    def close(self) -> None:
        """Stop accepting, end every connection and join every thread."""
        self._closing.set()
        self.shutdown()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()
        self._thread.join()
