"""How bytes are taken from a connection: all of them, as they come, and what came before a failure is not lost."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import httpx2
import pytest

from cache_warmer.transfer.reading import batches

BODY: Final = bytes(range(256)) * 40_000  # big enough to be read directly
PATIENCE: Final = 0.3
Send = Callable[[socket.socket], None]


@contextmanager
def answered(head: str, send: Send) -> Iterator[httpx2.Response]:
    """The answer of a server that sends this head, and then does what it likes with the connection."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
            send(connection)

    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        thread = threading.Thread(target=serve)
        thread.start()
        stack.callback(thread.join)
        client = stack.enter_context(httpx2.Client(timeout=PATIENCE, trust_env=False))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        yield stack.enter_context(client.stream("GET", url))


def taken(response: httpx2.Response, into: list[bytes]) -> bytes:
    """What is read, copied at once as a batch is good until the next."""
    for batch in batches(response):
        into.extend(bytes(chunk) for chunk in batch)
    return b"".join(into)


def whole(connection: socket.socket) -> None:
    connection.sendall(BODY)


def chunked(connection: socket.socket) -> None:
    for start in range(0, len(BODY), 1_000_000):
        part = BODY[start : start + 1_000_000]
        connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
    connection.sendall(b"0\r\n\r\n")


def too_much(connection: socket.socket) -> None:
    connection.sendall(BODY + b"of the next answer")


LENGTH: Final = f"Content-Length: {len(BODY)}"


@pytest.mark.parametrize(
    ("head", "send"),
    [
        (LENGTH, whole),
        (LENGTH, too_much),
        ("Transfer-Encoding: chunked", chunked),
        ("Connection: close", whole),
    ],
)
def test_all_of_a_body_comes_in_its_order(head: str, send: Send) -> None:
    with answered(head, send) as response:
        assert taken(response, []) == BODY


@pytest.mark.parametrize("head", ["Content-Length: 0", f"{LENGTH}\r\nTransfer-Encoding: chunked"])
def test_an_empty_body_is_no_failure(head: str) -> None:
    with answered(
        head, lambda connection: connection.sendall(b"0\r\n\r\n" * ("chunked" in head))
    ) as response:
        assert taken(response, []) == b""


@pytest.mark.parametrize("sent", [0, 1, 700_000, len(BODY) - 1])
def test_a_body_that_ends_too_early_is_told_after_what_came(sent: int) -> None:
    came: list[bytes] = []
    with (
        answered(LENGTH, lambda connection: connection.sendall(BODY[:sent])) as response,
        pytest.raises(httpx2.RemoteProtocolError),
    ):
        taken(response, came)
    assert b"".join(came) == BODY[:sent]


def test_silence_is_told_after_what_came() -> None:
    over, came = threading.Event(), list[bytes]()

    def fall_silent(connection: socket.socket) -> None:
        connection.sendall(BODY[:700_000])
        assert over.wait(30)

    with answered(LENGTH, fall_silent) as response:
        with pytest.raises(httpx2.ReadTimeout) as raised:
            taken(response, came)
        over.set()
    assert b"".join(came) == BODY[:700_000]
    assert raised.value.request is response.request


def test_what_is_there_is_handed_on_before_more_is_waited_for() -> None:
    more, came = threading.Event(), list[bytes]()

    def in_two_parts(connection: socket.socket) -> None:
        connection.sendall(BODY[:1000])
        assert more.wait(30)
        connection.sendall(BODY[1000:])

    with answered(LENGTH, in_two_parts) as response:
        for batch in batches(response):
            came.extend(bytes(chunk) for chunk in batch)
            if sum(map(len, came)) == 1000:
                more.set()
    assert b"".join(came) == BODY


def test_a_connection_that_breaks_is_told_as_the_library_would() -> None:
    def reset(connection: socket.socket) -> None:
        connection.sendall(BODY[:10])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    with answered(LENGTH, reset) as response, pytest.raises(httpx2.NetworkError):
        taken(response, [])
