"""TLS streams: real TLS over socket pairs, with records of all sizes, an end of either kind, and a silent server."""

import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpcore2
import httpx2
import pytest

from cache_warmer.hub.tls_stream import TlsBackend, TlsStream, install
from tests.support.fake_hub import Certificate, self_signed_certificate

TIMEOUT: Final = 20.0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return self_signed_certificate(tmp_path_factory.mktemp("certificate"))


def context_for(certificate: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate.certificate))


@contextmanager
def connected(
    certificate: Certificate,
    serve: Callable[[ssl.SSLSocket], object],
    context: ssl.SSLContext | None = None,
    server: ssl.SSLContext | None = None,
) -> Iterator[TlsStream]:
    """Yield a stream to a server that runs `serve` in a thread."""
    ours, theirs = socket.socketpair()

    def run() -> None:
        try:
            with (server or certificate.server_context()).wrap_socket(theirs, server_side=True) as connection:
                serve(connection)
        except OSError:  # the client refused, or has gone
            theirs.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        stream = TlsStream(ours, context or context_for(certificate), "127.0.0.1", TIMEOUT)
        yield stream
        stream.close()
    finally:
        ours.close()
        thread.join(TIMEOUT)


def read_all(stream: TlsStream) -> tuple[bytes, list[int]]:
    """Return what comes until the end, and the length of each read."""
    parts: list[bytes] = []
    while part := stream.read(65536, TIMEOUT):
        parts.append(bytes(part))
    return b"".join(parts), [len(part) for part in parts]


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 16_385, 262_144, 3_000_001])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_everything_that_was_sent_is_read(
    certificate: Certificate, size: int, version: ssl.TLSVersion
) -> None:
    content = os.urandom(size)
    context = context_for(certificate)
    context.minimum_version = context.maximum_version = version

    with connected(certificate, lambda connection: connection.sendall(content), context) as stream:
        assert stream.get_extra_info("ssl_object").version() == version.name.replace("_", ".")
        assert read_all(stream)[0] == content


def test_records_that_are_there_come_in_one_read(certificate: Certificate) -> None:
    sent = threading.Event()

    def serve(connection: ssl.SSLSocket) -> None:
        for _ in range(20):
            connection.sendall(b"x" * 1000)
        sent.set()

    with connected(certificate, serve) as stream:
        assert sent.wait(TIMEOUT)
        content, lengths = read_all(stream)
    assert len(content) == 20_000
    assert len(lengths) < 20


def test_a_record_is_read_without_waiting_for_another(certificate: Certificate) -> None:
    go_on = threading.Event()

    def serve(connection: ssl.SSLSocket) -> None:
        connection.sendall(b"first")
        go_on.wait(TIMEOUT)
        connection.sendall(b"second")

    with connected(certificate, serve) as stream:
        assert bytes(stream.read(65536, TIMEOUT)) == b"first"
        go_on.set()
        assert bytes(stream.read(65536, TIMEOUT)) == b"second"


def test_what_is_written_arrives(certificate: Certificate) -> None:
    content = os.urandom(1_000_000)
    received: list[bytes] = []

    def serve(connection: ssl.SSLSocket) -> None:
        left = len(content)
        while left:
            received.append(connection.recv(65536))
            left -= len(received[-1])
        connection.sendall(b"thanks")

    with connected(certificate, serve) as stream:
        stream.write(content, TIMEOUT)
        stream.write(b"", TIMEOUT)
        assert bytes(stream.read(10, TIMEOUT)) == b"thanks"
    assert b"".join(received) == content


def test_a_connection_that_ends_without_a_farewell_has_ended(certificate: Certificate) -> None:
    def serve(connection: ssl.SSLSocket) -> None:
        connection.sendall(b"half")
        connection.shutdown(socket.SHUT_RDWR)

    with connected(certificate, serve) as stream:
        assert read_all(stream)[0] == b"half"


def test_a_silent_server_is_a_timeout(certificate: Certificate) -> None:
    done = threading.Event()
    with connected(certificate, lambda _: done.wait(TIMEOUT)) as stream:
        with pytest.raises(httpcore2.ReadTimeout):
            stream.read(65536, 0.05)
        done.set()


def test_what_is_no_tls_is_a_read_error(certificate: Certificate) -> None:
    def serve(connection: ssl.SSLSocket) -> None:
        plain = connection.detach()
        with socket.socket(fileno=plain) as raw:
            raw.sendall(b"this is no record of TLS, and long enough to be taken for one" * 10)

    with connected(certificate, serve) as stream, pytest.raises(httpcore2.ReadError):
        read_all(stream)


def test_a_certificate_of_another_authority_is_refused_with_its_cause(
    certificate: Certificate, tmp_path: Path
) -> None:
    other = context_for(self_signed_certificate(tmp_path))
    with (
        pytest.raises(httpcore2.ConnectError) as refusal,
        connected(certificate, lambda _: None, other),
    ):
        pass
    assert isinstance(refusal.value.__cause__, ssl.SSLCertVerificationError)


def test_a_server_that_does_not_answer_the_handshake_is_a_timeout(certificate: Certificate) -> None:
    ours, theirs = socket.socketpair()
    with theirs, pytest.raises(httpcore2.ConnectTimeout):
        TlsStream(ours, context_for(certificate), "127.0.0.1", 0.05)
    assert ours.fileno() == -1


def test_an_idle_stream_is_readable_when_the_server_has_closed(certificate: Certificate) -> None:
    close = threading.Event()

    def serve(connection: ssl.SSLSocket) -> None:
        connection.sendall(b"x")
        close.wait(TIMEOUT)

    with connected(certificate, serve) as stream:
        stream.read(10, TIMEOUT)
        assert stream.get_extra_info("is_readable") is False
        close.set()
        stream._sock.settimeout(TIMEOUT)
        assert stream._sock.recv(1, socket.MSG_PEEK) is not None
        assert stream.get_extra_info("is_readable") is True


def test_a_transport_of_the_client_gets_the_backend() -> None:
    transport = install(httpx2.HTTPTransport())
    assert isinstance(transport._pool._network_backend, TlsBackend)  # type: ignore[attr-defined]
    other = httpx2.MockTransport(lambda _: httpx2.Response(200))
    assert install(other) is other
