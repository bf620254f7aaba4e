"""TLS connections that read many records at once.

The HTTP client reads from an `ssl.SSLSocket`, which returns at most one TLS record (16 KiB) for each call, and needs
two system calls for it. Of a body of a gigabyte that is 65,000 passes through the layers of the client, which cost more
than decrypting it. Here the encrypted bytes are read from the socket in large pieces, and all complete records among
them are decrypted into one buffer. How much comes at once depends on the line: nothing waits for a full buffer.

`install` gives the backend to a transport of the client. It is for direct connections and for proxies without TLS; a
connection through a proxy with TLS keeps the client's own stream. One thread uses a stream at a time, as in the client.
"""

import contextlib
import select
import socket
import ssl
from collections.abc import Iterable, Iterator
from typing import Any, Final, cast

import httpcore2
import httpx2

# Bytes that are read from the socket, and decrypted, at once: small enough for a processor's cache.
_BUFFER_BYTES: Final = 256 << 10


def install(transport: httpx2.BaseTransport) -> httpx2.BaseTransport:
    """Let a transport make its connections with this module's streams, if it has the parts for that; return it."""
    pool: Any = getattr(transport, "_pool", None)
    if hasattr(pool, "_network_backend"):  # without it the client's own streams do the same, slower
        pool._network_backend = TlsBackend(pool._network_backend)  # noqa: SLF001  # no option reaches it
    return transport


class TlsBackend(httpcore2.NetworkBackend):
    """Opens connections with another backend, and upgrades them to `TlsStream`."""

    def __init__(self, backend: httpcore2.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(self, *arguments: Any, **options: Any) -> httpcore2.NetworkStream:
        """Open a connection over TCP; see `httpcore2.NetworkBackend`."""
        return _TcpStream(self._backend.connect_tcp(*arguments, **options))

    def connect_unix_socket(self, *arguments: Any, **options: Any) -> httpcore2.NetworkStream:
        """Open a connection to a socket in the file system; see `httpcore2.NetworkBackend`."""
        return self._backend.connect_unix_socket(*arguments, **options)

    def sleep(self, seconds: float) -> None:
        """Wait; see `httpcore2.NetworkBackend`."""
        self._backend.sleep(seconds)


class _TcpStream(httpcore2.NetworkStream):
    """A connection over TCP whose upgrade to TLS is a `TlsStream`."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        return TlsStream(self._stream.get_extra_info("socket"), ssl_context, server_hostname, timeout)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class TlsStream(httpcore2.NetworkStream):
    """TLS on a connected socket.

    Args:
        sock: the socket; closed with the stream, and if the handshake fails.
        context: of the handshake.
        server_hostname: name that the server's certificate must have.
        timeout: seconds without a byte after which the handshake fails; None: never.

    Raises:
        httpcore2.ConnectTimeout: the server was silent during the handshake.
        httpcore2.ConnectError: the handshake failed; the cause is the error of `ssl`, such as an untrusted certificate.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> None:
        self._sock = sock
        # Encrypted bytes that were received, and that are to be sent.
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._received = memoryview(bytearray(_BUFFER_BYTES))
        self._decrypted = memoryview(bytearray(_BUFFER_BYTES))
        try:
            with _mapped(httpcore2.ConnectTimeout, httpcore2.ConnectError):
                self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
                sock.settimeout(timeout)
                self._handshake()
        except BaseException:
            sock.close()
            raise

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return the decrypted bytes that are there, and wait if there are none; empty at the end.

        It may return more than `max_bytes`: the HTTP parser takes any number. It returns its own buffer, which the next
        call overwrites: the parser copies it at once.

        Raises:
            httpcore2.ReadTimeout: no byte came for the timeout.
            httpcore2.ReadError: the connection broke, or what came is no TLS.
        """
        with _mapped(httpcore2.ReadTimeout, httpcore2.ReadError):
            self._sock.settimeout(timeout)
            while True:
                count, is_over = self._decrypt()
                if count or is_over:
                    return cast(bytes, self._decrypted[:count])
                self._receive()

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes.

        Raises:
            httpcore2.WriteTimeout: the socket accepted no byte for the timeout.
            httpcore2.WriteError: the connection broke.
        """
        with _mapped(httpcore2.WriteTimeout, httpcore2.WriteError):
            self._sock.settimeout(timeout)
            rest = memoryview(buffer)
            while rest:
                try:
                    rest = rest[self._tls.write(rest) :]
                except ssl.SSLWantReadError:  # a renegotiation of TLS 1.2
                    self._send()
                    self._receive()
            self._send()

    def close(self) -> None:
        """Close the socket."""
        self._sock.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        """Refuse: TLS in TLS is for proxies with TLS, whose connections have other streams."""
        raise NotImplementedError

    def get_extra_info(self, info: str) -> Any:
        """Return what the client asks about a connection; see `httpcore2.NetworkStream`."""
        match info:
            case "ssl_object":
                return self._tls
            case "socket":
                return self._sock
            case "client_addr":
                return self._sock.getsockname()
            case "server_addr":
                return self._sock.getpeername()
            case "is_readable":  # of an idle connection: then the server has closed it
                return bool(self._tls.pending() or self._incoming.pending) or _is_readable(self._sock)
        return None

    def _handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._send()
                self._receive()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._send()  # the alert that tells the server why
                raise
            else:
                return self._send()

    def _receive(self) -> None:
        """Wait for encrypted bytes, or for the end of the connection."""
        count = self._sock.recv_into(self._received)
        if count:
            self._incoming.write(self._received[:count])
        else:
            self._incoming.write_eof()

    def _decrypt(self) -> tuple[int, bool]:
        """Decrypt the complete records that are there; return the number of bytes, and whether the stream is over."""
        count, is_over = 0, False
        read, into = self._tls.read, self._decrypted  # this loop runs for every record
        try:
            while count < _BUFFER_BYTES:
                got = int(read(_BUFFER_BYTES - count, into[count:]))
                if not got:
                    is_over = True
                    break
                count += got
        except ssl.SSLWantReadError:
            pass
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            # A connection that ends without a farewell ends here as one with it: the HTTP parser knows the length.
            is_over = True
        if self._outgoing.pending:  # an answer of the protocol itself, such as new keys
            with contextlib.suppress(OSError):  # the server has gone: what it sent before counts all the same
                self._send()
        return count, is_over

    def _send(self) -> None:
        while self._outgoing.pending:
            self._sock.sendall(self._outgoing.read())


@contextlib.contextmanager
def _mapped(on_timeout: type[Exception], on_error: type[Exception]) -> Iterator[None]:
    """Raise the client's errors in place of those of the socket, with these as the cause."""
    try:
        yield
    except TimeoutError as error:
        raise on_timeout(error) from error
    except OSError as error:
        raise on_error(error) from error


def _is_readable(sock: socket.socket) -> bool:
    descriptor = sock.fileno()
    if descriptor < 0:
        return True
    if not hasattr(select, "poll"):  # Windows
        ready: Iterable[Any] = select.select([descriptor], [], [], 0)[0]
        return bool(ready)
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
