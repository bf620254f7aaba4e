"""gzip of requests and responses. A request is decompressed in steps, each of which takes its memory first."""

import asyncio
import re
import zlib
from typing import Final

from qda_worker.errors import ArgumentInvalid, RequestTooLarge
from qda_worker.http.exchange import HeaderList, Memory, RequestRefused
from qda_worker.limits import MAX_REQUEST_BYTES

_GZIP: Final = 16 + zlib.MAX_WBITS
_GZIP_LEVEL: Final = 1
_STEP_BYTES: Final = 2**20


async def gunzip(body: bytes, memory: Memory, limit: int = MAX_REQUEST_BYTES) -> bytes:
    """Decompress a body in threads.

    Args:
        body: gzip.
        memory: what the result takes.
        limit: of its bytes.

    Raises:
        RequestRefused: when it is not gzip, becomes too long, or there is no memory for it.
    """
    decompressor = zlib.decompressobj(_GZIP)
    parts, size, rest = list[bytes](), 0, body
    while not decompressor.eof:
        memory.take(_STEP_BYTES)
        try:
            part = await asyncio.to_thread(decompressor.decompress, rest, _STEP_BYTES)
        except zlib.error:
            break
        memory.give_back(_STEP_BYTES - len(part))
        size += len(part)
        if size > limit:
            raise RequestRefused(
                413, RequestTooLarge(f"the body of the request has more than {limit} bytes, decompressed")
            )
        parts.append(part)
        rest = decompressor.unconsumed_tail
        if not rest and len(part) < _STEP_BYTES:
            break
    if not decompressor.eof or decompressor.unused_data:
        raise RequestRefused(
            400, ArgumentInvalid("the body is not valid gzip", "send it uncompressed, or as gzip")
        )
    return b"".join(parts)


def gzip(body: bytes) -> bytes:
    """Compress a response."""
    compressor = zlib.compressobj(_GZIP_LEVEL, wbits=_GZIP)
    return compressor.compress(body) + compressor.flush()


def accepts_gzip(headers: HeaderList) -> bool:
    """Return whether a client accepts a response in gzip."""
    accepted = ", ".join(value for name, value in headers if name == "accept-encoding").lower()
    for part in accepted.split(","):
        name, _, parameters = part.partition(";")
        if name.strip() in ("gzip", "x-gzip"):
            return re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", parameters) is None
    return False
