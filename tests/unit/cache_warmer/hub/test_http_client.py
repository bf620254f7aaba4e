"""The client of all connections: what one of them is asked to do holds for all."""

import threading
from collections.abc import Callable
from typing import Final

import httpx2
import pytest

from cache_warmer.errors import HubBusy, HubUnreachable
from cache_warmer.hub.http_client import RetryingClient
from cache_warmer.hub.retry import Retry

HUB: Final = "http://hub.invalid"
LIMIT: Final = {
    "RateLimit": '"resolvers";r=0;t=40',
    "RateLimit-Policy": '"fixed window";"resolvers";q=5000;w=300',
}


class Clock:
    """A clock that advances by what is slept; several threads sleep at the same time."""

    def __init__(self) -> None:
        self.time = 0.0
        self.sleeps = list[float]()
        self._lock = threading.Lock()

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.sleeps.append(seconds)
            self.time += seconds

    def __call__(self) -> float:
        with self._lock:
            return self.time


def client(
    handler: Callable[[httpx2.Request], httpx2.Response], clock: Clock, **limits: float
) -> RetryingClient:
    retry = Retry(sleep=clock.sleep, clock=clock, **limits)  # type: ignore[arg-type]  # numbers of its limits
    return RetryingClient(HUB, retry, 5.0, transport=httpx2.MockTransport(handler))


def test_the_rate_limit_of_one_connection_is_waited_for_by_all() -> None:
    clock, times = Clock(), list[float]()

    def handler(request: httpx2.Request) -> httpx2.Response:
        times.append(clock())
        return httpx2.Response(200) if clock() >= 40.0 else httpx2.Response(429, headers=LIMIT)

    with client(handler, clock) as http:
        assert http.get(f"{HUB}/a").status_code == 200
        clock.time = 0.0  # as another connection sees it, which starts before the pause is over
        assert http.get(f"{HUB}/b").status_code == 200

    assert times == [0.0, 40.0, 40.0], "no request is sent before the hub serves again"


@pytest.mark.parametrize("headers", [LIMIT, {"Retry-After": "40"}])
def test_the_host_that_was_redirected_from_waits_too(headers: dict[str, str]) -> None:
    clock, requests = Clock(), list[tuple[str, float]]()

    def handler(request: httpx2.Request) -> httpx2.Response:
        requests.append((request.url.host, clock()))
        if request.url.host == "hub.invalid":
            return httpx2.Response(302, headers={"Location": "http://storage.invalid/"})
        return httpx2.Response(200) if clock() >= 40.0 else httpx2.Response(429, headers=headers)

    with client(handler, clock) as http:
        http.get(f"{HUB}/a")
        clock.time = 0.0
        http.get(f"{HUB}/b")
        http.get("http://another.invalid/")

    assert [time for host, time in requests if host != "another.invalid"] == [
        0.0,
        0.0,
        40.0,
        40.0,
        40.0,
        40.0,
    ]


def test_a_limit_beyond_the_patience_ends_at_once_and_holds_nobody_up() -> None:
    clock = Clock()
    refused = httpx2.Response(429, headers={"RateLimit": '"resolvers";r=0;t=287'})
    with client(lambda _: refused, clock) as http, pytest.raises(HubBusy, match="asks to wait 287 s"):
        http.get(f"{HUB}/a")

    assert clock.sleeps == []


def test_a_listing_whose_pages_have_no_end_is_ended() -> None:
    requests = list[httpx2.Request]()

    def handler(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(200, json=[])

    def list_pages(http: RetryingClient) -> None:
        with http.limit_pages():
            while len(requests) < 10_000:
                http.get(f"{HUB}/page")

    with client(handler, Clock()) as http, pytest.raises(HubUnreachable, match="no end"):
        list_pages(http)

    assert len(requests) <= 1000
