"""How a body is asked for: where the hub sent us, for as long as that serves us; then the hub is asked again."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import httpx2
import pytest

from cache_warmer.artifacts.artifact import Download, Expected
from cache_warmer.errors import HubBusy, HubUnauthorized
from cache_warmer.hub.http_client import RetryingClient
from cache_warmer.hub.retry import Retry
from cache_warmer.transfer.partial_file import GrowingFile
from cache_warmer.transfer.range_requests import ByteRange, Requests

CONTENT: Final = bytes(range(200)) * 5
HUB: Final = "http://hub.invalid"


class SignedStorage:
    """A hub that signs addresses, each good for so many requests; notes who was asked what."""

    def __init__(self, uses: int) -> None:
        self.uses, self.signed, self.asked = uses, 0, list[str]()
        self.left = 0
        self.refusal: Callable[[], httpx2.Response] = lambda: httpx2.Response(403)

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        wanted = request.headers.get("Range", "all")
        if request.url.host == "hub.invalid":
            self.signed, self.left = self.signed + 1, self.uses
            self.asked.append(f"hub {wanted}")
            return httpx2.Response(
                302, headers={"Location": f"http://storage.invalid/?signature={self.signed}"}
            )
        assert "Authorization" not in request.headers
        self.asked.append(f"storage {wanted}")
        if self.left == 0:
            return self.refusal()
        self.left -= 1
        start, end = (int(part) for part in wanted.removeprefix("bytes=").split("-"))
        headers = {"Content-Range": f"bytes {start}-{end}/{len(CONTENT)}"}
        return httpx2.Response(206, headers=headers, content=iter([CONTENT[start : end + 1]]))


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., bytes]:
    """Fetch the first half of the content in pieces of 100 bytes; return it."""

    def run(storage: SignedStorage, sleeps: list[float]) -> bytes:
        path = tmp_path / "body.incomplete"
        expected = Expected(len(CONTENT), None, None, "hub")
        download = Download(
            "name", f"{HUB}/file", {"Authorization": "Bearer secret"}, expected, path, "a file"
        )
        retry = Retry(attempts=3, sleep=sleeps.append)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        file = GrowingFile(descriptor, path, expected, lambda _: None, lambda: None, big=False)
        try:
            with RetryingClient(HUB, retry, 5.0, transport=httpx2.MockTransport(storage)) as http:
                requests = Requests(http, retry, download, lambda _: None)
                for start in range(0, len(CONTENT) // 2, 100):
                    requests.fetch(ByteRange(0, start, start + 100), file)
            return os.pread(descriptor, len(CONTENT), 0)
        finally:
            file.close()
            os.close(descriptor)

    return run


def test_the_hub_is_asked_once_a_body(fetch: Callable[..., bytes]) -> None:
    storage = SignedStorage(uses=100)

    assert fetch(storage, []) == CONTENT[: len(CONTENT) // 2]

    assert [one for one in storage.asked if one.startswith("hub")] == ["hub bytes=0-99"]


def test_an_address_whose_signature_ran_out_is_asked_for_anew(fetch: Callable[..., bytes]) -> None:
    storage = SignedStorage(uses=2)

    assert fetch(storage, []) == CONTENT[: len(CONTENT) // 2]

    assert storage.signed == 3
    assert storage.asked[3:6] == ["storage bytes=200-299", "hub bytes=200-299", "storage bytes=200-299"]


def test_an_address_that_never_serves_is_the_refusal_it_is(fetch: Callable[..., bytes]) -> None:
    with pytest.raises(HubUnauthorized):
        fetch(SignedStorage(uses=0), [])


def test_a_busy_address_is_left_only_after_the_time_that_it_asks_for(fetch: Callable[..., bytes]) -> None:
    storage, sleeps = SignedStorage(uses=1), list[float]()
    storage.refusal = lambda: httpx2.Response(429, headers={"Retry-After": "17"})

    assert fetch(storage, sleeps) == CONTENT[: len(CONTENT) // 2]

    assert sleeps == [17.0] * 4
    assert storage.signed == 5


def test_a_busy_address_that_asks_for_more_than_our_patience_ends_the_run(
    fetch: Callable[..., bytes],
) -> None:
    storage = SignedStorage(uses=1)
    storage.refusal = lambda: httpx2.Response(429, headers={"Retry-After": "3600"})

    with pytest.raises(HubBusy, match="3600 s"):
        fetch(storage, [])
