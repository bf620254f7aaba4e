"""A server that compresses every body although requests ask for none, as a transport of the HTTP client."""

import gzip
from typing import Final

import httpx2

CONTENT: Final = b"Das ist das Haus vom Nikolaus. " * 5_000
COMPRESSED: Final = gzip.compress(CONTENT)
GZIP: Final = {"Content-Encoding": "gzip"}


class CompressingServer:
    """Handler for `httpx2.MockTransport`.

    Attributes:
        ranges: whether it honours ranges, which are those of the compressed form.
        length: whether it sends a Content-Length.
        sent: the compressed body.
    """

    def __init__(self, *, ranges: bool, length: bool, sent: bytes = COMPRESSED) -> None:
        self.ranges, self.length, self.sent = ranges, length, sent

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        header = request.headers.get("Range", "all")
        if self.ranges and header != "all":
            start, _, end = header.removeprefix("bytes=").partition("-")
            part = self.sent[int(start) : int(end) + 1 if end else None]
            span = f"bytes {start}-{int(start) + len(part) - 1}/{len(self.sent)}"
            return httpx2.Response(206, headers={**GZIP, "Content-Range": span}, content=iter([part]))
        headers = {**GZIP, "Content-Length": str(len(self.sent))} if self.length else GZIP
        return httpx2.Response(200, headers=headers, content=iter([self.sent[:50], self.sent[50:]]))
