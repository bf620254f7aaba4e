"""A client of the HTTP port that sends the bytes that a test gives it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import h11

WAIT: Final = 30
SENTIMENT: Final = "/qda.v1.SentimentService/AnalyzeSentiment"


@dataclass(frozen=True)
class HttpAnswer:
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The reason in the details of an error."""
        return str(self.json["details"][0]["debug"]["reason"])


class HttpConnection:
    """An open connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._buffered = b""

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> HttpAnswer:
        """Read the next response."""
        parser = h11.Connection(h11.CLIENT)
        parser.send(h11.Request(method="POST", target="/", headers=[("host", "x"), ("content-length", "0")]))
        parser.send(h11.EndOfMessage())
        if self._buffered:
            parser.receive_data(self._buffered)
        head: h11.Response | None = None
        body = bytearray()
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                parser.receive_data(await asyncio.wait_for(self.reader.read(2**16), WAIT))
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                break
            elif isinstance(event, h11.ConnectionClosed):
                raise ConnectionResetError
        self._buffered = bytes(parser.trailing_data[0])
        assert head is not None
        headers = {name.decode(): value.decode() for name, value in head.headers}
        return HttpAnswer(head.status_code, headers, bytes(body))

    async def is_closed(self) -> bool:
        """Wait for the end of the connection."""
        return not await asyncio.wait_for(self.reader.read(), WAIT)


def request(
    path: str = SENTIMENT,
    body: bytes | dict[str, Any] = b"",
    *headers: str,
    method: str = "POST",
    content_type: str = "application/json",
) -> bytes:
    """Return the bytes of a request with a length."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(data)}", *headers]
    if content_type:
        fields.append(f"Content-Type: {content_type}")
    return "\r\n".join([*fields, "", ""]).encode("latin-1") + data


@asynccontextmanager
async def connect(port: int) -> AsyncIterator[HttpConnection]:
    """Open a connection until the end of the block."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield HttpConnection(reader, writer)
    finally:
        writer.close()


async def call(
    port: int,
    path: str = SENTIMENT,
    body: bytes | dict[str, Any] = b"",
    *headers: str,
    method: str = "POST",
    content_type: str = "application/json",
) -> HttpAnswer:
    """Send one request on a connection of its own and return the response."""
    async with connect(port) as connection:
        await connection.send(request(path, body, *headers, method=method, content_type=content_type))
        return await connection.answer()
