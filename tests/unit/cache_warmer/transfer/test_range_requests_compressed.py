"""Servers that compress bodies although requests ask for none: the file arrives uncompressed."""

import gzip
import os
from pathlib import Path
from typing import Final

import httpx2
import pytest

from cache_warmer.disk.positioned_io import read_at
from cache_warmer.hub.http_client import RetryingClient
from cache_warmer.hub.retry import Retry
from cache_warmer.transfer.download import Download, ExpectedContent
from cache_warmer.transfer.partial_file import PartialFile
from cache_warmer.transfer.range_requests import (
    BodyUse,
    ByteRange,
    RangeRequests,
    SizeMismatch,
    classify_response,
)
from model_cache.containment import CacheBoundary
from tests.support.compressing_server import COMPRESSED, CONTENT, GZIP, CompressingServer

HUB: Final = "http://hub.invalid"


def fetch(folder: Path, server: CompressingServer, start: int = 0) -> bytes:
    """Return what is fetched from `start` on, by a run that has the bytes before it already."""
    path = folder / "body.incomplete"
    path.write_bytes(CONTENT[:start])
    expected = ExpectedContent(len(CONTENT), None, None, "hub")
    download = Download("name", f"{HUB}/file", {}, expected, path, CacheBoundary(path.parent), "a file")
    retry = Retry(attempts=3, sleep=lambda _: None)
    descriptor = os.open(path, os.O_RDWR)
    file = PartialFile(descriptor, path, expected, lambda _: None, lambda: None, big=False)
    try:
        with RetryingClient(HUB, retry, 5.0, transport=httpx2.MockTransport(server)) as http:
            requests = RangeRequests(http, retry, download, lambda _: None)
            requests.fetch(ByteRange(0, start, len(CONTENT)), file)
        return read_at(descriptor, 2 * len(CONTENT), 0)
    finally:
        file.close()
        os.close(descriptor)


@pytest.mark.parametrize("length", [True, False], ids=["with a length", "without"])
@pytest.mark.parametrize("ranges", [True, False], ids=["ranges of the compressed", "no ranges"])
@pytest.mark.parametrize("start", [0, 100], ids=["from zero", "resumed"])
def test_the_file_arrives(tmp_path: Path, length: bool, ranges: bool, start: int) -> None:
    assert fetch(tmp_path, CompressingServer(ranges=ranges, length=length), start) == CONTENT


def test_more_than_was_promised_is_refused_before_it_fills_the_disk(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(100 * len(CONTENT)))
    with pytest.raises(SizeMismatch):
        fetch(tmp_path, CompressingServer(ranges=False, length=True, sent=bomb))
    assert (tmp_path / "body.incomplete").stat().st_size <= len(CONTENT)


def test_a_file_that_was_stored_compressed_is_taken_as_it_is() -> None:
    """Some stores report the coding of the file itself. Its length tells: it is the promised one."""
    headers = {**GZIP, "Content-Length": str(len(COMPRESSED))}
    assert not classify_response(200, headers, 0, len(COMPRESSED), ranged=False).compressed
    span = {**GZIP, "Content-Range": f"bytes 10-19/{len(COMPRESSED)}"}
    assert classify_response(206, span, 10, len(COMPRESSED), ranged=True).use is BodyUse.RANGE
