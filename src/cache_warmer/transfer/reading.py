"""Takes a body's bytes from where they come in, with as few copies as that allows.

The HTTP library copies each byte of a body three times before it hands it out. Of a big body of known length on a plain
socket it is asked for the beginning only, and the rest is read from the socket straight into one buffer a connection.
The library then closes that connection instead of using it again: a round trip a range, where it matters least, since
unencrypted hubs are near. Everything else (TLS, chunks, small bodies) goes the library's way.
"""

import os
import select
import socket
from collections.abc import Iterator, Sequence
from typing import Final

import httpx2

from cache_warmer.hub.http_client import READ_BYTES

# Collected at most before they are handed on, while the socket has more: each write takes the file's lock.
_BATCH_BYTES: Final = 1 << 19
# Of one connection that is read directly.
_BUFFER_BYTES: Final = 1 << 20
# From so many on a body is worth a connection.
_DIRECT_BYTES: Final = 8 << 20


def batches(response: httpx2.Response, *, compressed: bool = False) -> Iterator[Sequence[bytes | memoryview]]:
    """Yield the body as it comes in: what can be written at once, and at the latest when the socket is drained.

    One that is `compressed`, as its headers say how, is decompressed.

    A batch is good until the next one is asked for. What came before a failure is yielded before that is raised.
    Raises `httpx2.RequestError`.
    """
    if compressed:
        yield from _by_the_library(response.iter_bytes())
        return
    plain = _plain_socket(response)
    length = _length(response)
    if plain is None or length is None or length < _DIRECT_BYTES:
        yield from _by_the_library(response.iter_raw())
        return
    # With what the library read ahead; kept, since dropping it ends the response.
    beginning = response.iter_raw()
    first = next(beginning, b"")
    if first:
        yield [first]
    yield from _from_socket(plain, length - len(first), response.request)


def _by_the_library(chunks: Iterator[bytes]) -> Iterator[Sequence[bytes]]:
    held: list[bytes] = []
    collected = 0
    try:
        for chunk in chunks:
            held.append(chunk)
            collected += len(chunk)
            drained = len(chunk) < READ_BYTES  # the next byte may take its time, or never come
            if drained or collected >= _BATCH_BYTES:
                yield held
                held, collected = [], 0
    except httpx2.RequestError:
        if held:
            yield held
        raise
    if held:
        yield held


def _from_socket(plain: socket.socket, left: int, request: httpx2.Request) -> Iterator[Sequence[memoryview]]:
    """Yield the rest of a body of known length. The socket does not block: the library set a time limit on it."""
    patience: float = request.extensions["timeout"]["read"]
    buffer = memoryview(bytearray(min(left, _BUFFER_BYTES)))
    incoming = select.poll()
    incoming.register(plain, select.POLLIN)
    filled = 0
    failure: httpx2.RequestError | None = None
    while left and failure is None:
        room = buffer[filled:left]
        try:
            count = os.readv(plain.fileno(), [room])
        except BlockingIOError:
            count = -1
        except OSError as error:
            failure = httpx2.ReadError(error.strerror or str(error), request=request)
            failure.__cause__ = error
            count = -1
        if count == 0:
            failure = httpx2.RemoteProtocolError("the connection ended before the body did", request=request)
        filled += max(count, 0)
        if filled and (count <= 0 or filled in (left, len(buffer))):
            yield [buffer[:filled]]
            left -= filled
            filled = 0
        if count < 0 and failure is None and not incoming.poll(patience * 1000):
            failure = httpx2.ReadTimeout(f"no byte in {patience:.0f} s", request=request)
    if failure is not None:
        raise failure


def _plain_socket(response: httpx2.Response) -> socket.socket | None:
    """Return the socket that the body comes from as it is, if it can be read without the library."""
    stream = response.extensions.get("network_stream")
    found = stream.get_extra_info("socket") if stream is not None else None
    usable = type(found) is socket.socket and found.gettimeout() is not None and hasattr(os, "readv")
    return found if usable else None


def _length(response: httpx2.Response) -> int | None:
    said = response.headers.get("Content-Length", "")
    known = said.isdecimal() and len(said) <= 18 and "Transfer-Encoding" not in response.headers
    return int(said) if known else None
