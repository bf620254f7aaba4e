"""Requests for a body: the redirect of the hub is reused while it serves, and broken responses are continued."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import httpx2
import pytest

from cache_warmer.disk.positioned_io import read_at
from cache_warmer.errors import HubBusy, HubStalled, HubUnauthorized, HubUnreachable
from cache_warmer.hub.http_client import RetryingClient
from cache_warmer.hub.retry import Retry
from cache_warmer.transfer.download import Download, ExpectedContent
from cache_warmer.transfer.partial_file import PartialFile
from cache_warmer.transfer.range_requests import ByteRange, RangeRequests
from model_cache.containment import CacheBoundary

CONTENT: Final = bytes(range(200)) * 5
HUB: Final = "http://hub.invalid"


class SignedStorage:
    """A hub that signs addresses, each good for a number of requests; records the requests of both hosts."""

    def __init__(self, uses: int) -> None:
        self.uses, self.signed, self.requests = uses, 0, list[str]()
        self.left = 0
        self.refusal: Callable[[], httpx2.Response] = lambda: httpx2.Response(403)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        header = request.headers.get("Range", "all")
        if request.url.host == "hub.invalid":
            self.signed, self.left = self.signed + 1, self.uses
            self.requests.append(f"hub {header}")
            return httpx2.Response(
                302, headers={"Location": f"http://storage.invalid/?signature={self.signed}"}
            )
        assert "Authorization" not in request.headers
        self.requests.append(f"storage {header}")
        if self.left == 0:
            return self.refusal()
        self.left -= 1
        start, end = (int(part) for part in header.removeprefix("bytes=").split("-"))
        headers = {"Content-Range": f"bytes {start}-{end}/{len(CONTENT)}"}
        return httpx2.Response(206, headers=headers, content=self.body(start, end + 1))

    def body(self, start: int, end: int) -> Iterator[bytes]:
        """Send the bytes from `start` to before `end`."""
        yield CONTENT[start:end]


class BreakingStorage(SignedStorage):
    """Storage whose responses break off after 30 bytes."""

    def body(self, start: int, end: int) -> Iterator[bytes]:
        """Send at most 30 bytes, then break off."""
        yield CONTENT[start : min(start + 30, end)]
        if end > start + 30:
            raise httpx2.RemoteProtocolError("the connection ended before the body did")


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., bytes]:
    """Fetch the first half of the content in ranges of 100 bytes; return it."""

    def run(storage: Callable[[httpx2.Request], httpx2.Response], sleeps: list[float]) -> bytes:
        path = tmp_path / "body.incomplete"
        expected = ExpectedContent(len(CONTENT), None, None, "hub")
        download = Download(
            "name",
            f"{HUB}/file",
            {"Authorization": "Bearer secret"},
            expected,
            path,
            CacheBoundary(path.parent),
            "a file",
        )
        retry = Retry(attempts=5, sleep=sleeps.append, clock=lambda: sum(sleeps))
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        file = PartialFile(descriptor, path, expected, lambda _: None, lambda: None, big=False)
        try:
            with RetryingClient(HUB, retry, 5.0, transport=httpx2.MockTransport(storage)) as http:
                requests = RangeRequests(http, retry, download, lambda _: None)
                for start in range(0, len(CONTENT) // 2, 100):
                    requests.fetch(ByteRange(0, start, start + 100), file)
            return read_at(descriptor, len(CONTENT), 0)
        finally:
            file.close()
            os.close(descriptor)

    return run


def test_the_hub_is_asked_once_per_body(fetch: Callable[..., bytes]) -> None:
    storage = SignedStorage(uses=100)

    assert fetch(storage, []) == CONTENT[: len(CONTENT) // 2]

    assert [one for one in storage.requests if one.startswith("hub")] == ["hub bytes=0-99"]


def test_a_new_address_is_requested_when_a_signature_expires(fetch: Callable[..., bytes]) -> None:
    storage = SignedStorage(uses=2)

    assert fetch(storage, []) == CONTENT[: len(CONTENT) // 2]

    assert storage.signed == 3
    assert storage.requests[3:6] == ["storage bytes=200-299", "hub bytes=200-299", "storage bytes=200-299"]


def test_an_address_that_never_serves_is_reported_as_its_refusal(fetch: Callable[..., bytes]) -> None:
    with pytest.raises(HubUnauthorized):
        fetch(SignedStorage(uses=0), [])


def test_a_busy_address_is_left_only_after_its_retry_after(fetch: Callable[..., bytes]) -> None:
    storage, sleeps = SignedStorage(uses=1), list[float]()
    storage.refusal = lambda: httpx2.Response(429, headers={"Retry-After": "17"})

    assert fetch(storage, sleeps) == CONTENT[: len(CONTENT) // 2]

    assert sleeps == [17.0] * 4
    assert storage.signed == 5


def test_a_retry_after_that_is_too_long_ends_the_run(fetch: Callable[..., bytes]) -> None:
    storage = SignedStorage(uses=1)
    storage.refusal = lambda: httpx2.Response(429, headers={"Retry-After": "3600"})

    with pytest.raises(HubBusy, match="3600 s"):
        fetch(storage, [])


def test_what_came_before_a_connection_broke_is_kept(fetch: Callable[..., bytes]) -> None:
    storage = BreakingStorage(uses=100)

    assert fetch(storage, []) == CONTENT[: len(CONTENT) // 2]

    ranges = [one.split("=")[1] for one in storage.requests if one.startswith("storage")]
    assert ranges[:5] == ["0-99", "30-99", "60-99", "90-99", "100-199"]


def shifted(request: httpx2.Request) -> httpx2.Response:
    """Send another range than the requested one, also if none was requested."""
    return httpx2.Response(206, headers={"Content-Range": f"bytes 7-9/{len(CONTENT)}"}, content=b"abc")


def nameless(request: httpx2.Request) -> httpx2.Response:
    """Send a part without saying which."""
    return httpx2.Response(206, content=b"abc")


def half_empty(request: httpx2.Request) -> httpx2.Response:
    """Break off before the first byte."""

    def body() -> Iterator[bytes]:
        raise httpx2.RemoteProtocolError("the connection ended before the body did")
        yield b""

    return httpx2.Response(200, headers={"Content-Length": str(len(CONTENT))}, content=body())


def refusing_then_whole_part(request: httpx2.Request) -> httpx2.Response:
    """Refuse ranges, and answer a request without one by a part."""
    return httpx2.Response(416) if "Range" in request.headers else shifted(request)


@pytest.mark.parametrize("server", [shifted, nameless, half_empty, refusing_then_whole_part])
def test_useless_responses_of_any_kind_end_the_run(
    fetch: Callable[..., bytes], server: Callable[[httpx2.Request], httpx2.Response]
) -> None:
    requests = list[httpx2.Request]()

    def counted(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        assert len(requests) < 50, "without an end"
        return server(request)

    with pytest.raises((HubUnreachable, HubStalled)):
        fetch(counted, [])

    assert len(requests) <= 6
