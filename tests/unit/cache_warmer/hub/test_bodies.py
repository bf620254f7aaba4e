"""Servers that compress what they were asked to send as it is: the file is what counts, not the form it travels in."""

import gzip
import hashlib
import os
from pathlib import Path
from typing import Final

import httpx2
import pytest

from cache_warmer.artifacts.artifact import Download, Expected
from cache_warmer.hub.bodies import body_sha256, body_size
from cache_warmer.hub.http_client import RetryingClient
from cache_warmer.hub.retry import Retry
from cache_warmer.transfer.partial_file import GrowingFile
from cache_warmer.transfer.range_requests import ByteRange, Requests, Use, WrongSize, judge

CONTENT: Final = b"Das ist das Haus vom Nikolaus. " * 5_000
SENT: Final = gzip.compress(CONTENT)
HUB: Final = "http://hub.invalid"
GZIP: Final = {"Content-Encoding": "gzip"}


class Compressing:
    """Sends everything compressed; with ranges, they are those of the compressed form."""

    def __init__(self, *, ranges: bool, length: bool, sent: bytes = SENT) -> None:
        self.ranges, self.length, self.sent = ranges, length, sent
        self.asked: list[str] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        wanted = request.headers.get("Range", "all")
        self.asked.append(wanted)
        if self.ranges and wanted != "all":
            start, _, end = wanted.removeprefix("bytes=").partition("-")
            part = self.sent[int(start) : int(end) + 1 if end else None]
            span = f"bytes {start}-{int(start) + len(part) - 1}/{len(self.sent)}"
            return httpx2.Response(206, headers={**GZIP, "Content-Range": span}, content=iter([part]))
        headers = {**GZIP, "Content-Length": str(len(self.sent))} if self.length else GZIP
        return httpx2.Response(200, headers=headers, content=iter([self.sent[:50], self.sent[50:]]))


def fetch(folder: Path, server: Compressing, start: int = 0) -> bytes:
    """What is fetched from `start` on, by a run that has the bytes before it already."""
    path = folder / "body.incomplete"
    path.write_bytes(CONTENT[:start])
    expected = Expected(len(CONTENT), None, None, "hub")
    download = Download("name", f"{HUB}/file", {}, expected, path, "a file")
    retry = Retry(attempts=3, sleep=lambda _: None)
    descriptor = os.open(path, os.O_RDWR)
    file = GrowingFile(descriptor, path, expected, lambda _: None, lambda: None, big=False)
    try:
        with RetryingClient(HUB, retry, 5.0, transport=httpx2.MockTransport(server)) as http:
            Requests(http, retry, download, lambda _: None).fetch(ByteRange(0, start, len(CONTENT)), file)
        return os.pread(descriptor, 2 * len(CONTENT), 0)
    finally:
        file.close()
        os.close(descriptor)


@pytest.mark.parametrize("length", [True, False], ids=["with a length", "without"])
@pytest.mark.parametrize("ranges", [True, False], ids=["ranges of the compressed", "no ranges"])
@pytest.mark.parametrize("start", [0, 100], ids=["from zero", "resumed"])
def test_the_file_arrives(tmp_path: Path, length: bool, ranges: bool, start: int) -> None:
    assert fetch(tmp_path, Compressing(ranges=ranges, length=length), start) == CONTENT


def test_more_than_was_promised_is_refused_before_it_fills_the_disk(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(100 * len(CONTENT)))
    with pytest.raises(WrongSize):
        fetch(tmp_path, Compressing(ranges=False, length=True, sent=bomb))
    assert (tmp_path / "body.incomplete").stat().st_size <= len(CONTENT)


def test_a_file_that_was_compressed_when_it_was_stored_is_taken_as_it_is() -> None:
    """Some stores name the coding of the file itself. Its length tells: it is the promised one."""
    headers = {**GZIP, "Content-Length": str(len(SENT))}
    assert not judge(200, headers, 0, len(SENT), ranged=False).compressed
    span = {**GZIP, "Content-Range": f"bytes 10-19/{len(SENT)}"}
    assert judge(206, span, 10, len(SENT), ranged=True).use is Use.RANGE


def test_size_and_hash_are_never_those_of_the_compressed_form() -> None:
    with httpx2.Client(transport=httpx2.MockTransport(Compressing(ranges=True, length=True))) as http:
        assert body_size(http, HUB, "a file") is None
        assert body_sha256(http, HUB, "a file") == hashlib.sha256(CONTENT).hexdigest()
