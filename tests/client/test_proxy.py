"""Which proxy gRPC uses for a target, and what a user reads about it."""

import re
from pathlib import Path
from typing import Any, Final

import pytest

from qda_worker.client import Health, NotReachable, SentimentTask, Settings
from qda_worker.client.channel import channel_options
from qda_worker.client.proxy import Proxy, find_proxy, is_local
from tests.client.conftest import Invoke
from tests.support.fake_worker import FakeWorker

LOCAL: Final = [
    "127.0.0.1:50051", "localhost:50051", "LOCALHOST:1", "localhost.:1", "worker.localhost:1", "[::1]:50051",
    "127.8.9.1:1", "127.1:1", "0.0.0.0:1", "[::]:1", "[::ffff:127.0.0.1]:1", "unix:/run/qda.sock", "unix:///run/qda.sock",
    "unix-abstract:qda", "dns:///127.0.0.1:1", "dns:///localhost:1",
    "ipv4:127.0.0.1:1,127.0.0.2:2", "ipv6:[::1]:1", "ipv6:%5B::1%5D:1", "dns:///%5B::1%5D:1", "ip6-localhost:1",
    "localhost.localdomain:1", "localhost6:1", "2130706433:1", "0x7f.1:1", "0x7F000001:1",
]  # fmt: skip
REMOTE: Final = [
    "worker:50051", "localhost.example:1", "10.0.0.1:1", "128.0.0.1:1", "[2001:db8::1]:1", "dns:///worker:1",
    "ipv4:127.0.0.1:1,10.0.0.1:1", "mylocalhost:1", "127.example:1", "fade:1", "0x0a.1:1",
    "dns://8.8.8.8/localhost:1", "DNS://8.8.8.8:53/worker.localhost:1", "xds:///localhost:1", "google-c2p:///localhost:1",
]  # fmt: skip


@pytest.mark.parametrize("target", LOCAL)
def test_targets_on_this_machine_never_use_a_proxy(target: str) -> None:
    assert is_local(Settings(target).uri)
    assert ("grpc.enable_http_proxy", 0) in channel_options(Settings(target))
    assert find_proxy(Settings(target).uri, {"http_proxy": "http://proxy:3128"}) is None


@pytest.mark.parametrize("target", REMOTE)
def test_other_targets_use_the_proxy(target: str) -> None:
    assert not is_local(Settings(target).uri)
    assert "grpc.enable_http_proxy" not in dict(channel_options(Settings(target)))
    assert find_proxy(Settings(target).uri, {"https_proxy": "http://proxy:3128"}) is not None


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"http_proxy": "http://a:1"}, ("http_proxy", "http://a:1")),
        ({"http_proxy": "http://a:1", "https_proxy": "http://b:2"}, ("https_proxy", "http://b:2")),
        ({"grpc_proxy": "http://g:3", "https_proxy": "http://b:2"}, ("grpc_proxy", "http://g:3")),
        ({"http_proxy": "http://anna:geheim@a:1/x?y#z"}, ("http_proxy", "http://a:1")),
        ({"http_proxy": "http://anna:ge%40heim@[::2]:1"}, ("http_proxy", "http://[::2]:1")),
        ({"http_proxy": "http://a:1", "no_proxy": "other,.org"}, ("http_proxy", "http://a:1")),
        ({"http_proxy": "http://a:1", "no_proxy": "x, worker.example"}, None),
        ({"http_proxy": "http://a:1", "no_proxy": ".EXAMPLE"}, None),
        ({"http_proxy": "http://a:1", "no_proxy": "x", "no_grpc_proxy": "example"}, None),
        ({"http_proxy": "socks5://a:1"}, None),
        ({"http_proxy": "a:1"}, None),
        ({"http_proxy": "HTTP://a:1"}, ("http_proxy", "http://a:1")),
        ({"http_proxy": "http://[bad"}, ("http_proxy", "")),
        ({"http_proxy": "http://anna:ge/heim@a:1"}, ("http_proxy", "")),
        ({"http_proxy": "http://anna:12/heim@a:1"}, ("http_proxy", "")),
        ({"http_proxy": "http://anna:ge?heim@a:1"}, ("http_proxy", "")),
        ({"HTTP_PROXY": "http://a:1", "ALL_PROXY": "http://a:1"}, None),
        ({}, None),
    ],
)
def test_the_proxy_is_found_as_grpc_finds_it(
    environ: dict[str, str], expected: tuple[str, str] | None
) -> None:
    found = find_proxy("dns:///worker.example:50051", environ)
    assert found == (expected and Proxy(*expected, "worker.example"))


def test_ranges_of_addresses_can_be_excepted() -> None:
    environ = {"http_proxy": "http://a:1", "no_proxy": "10.0.0.0/8"}
    assert find_proxy("dns:///10.1.2.3:1", environ) is None
    assert find_proxy("dns:///11.1.2.3:1", environ) is not None


@pytest.mark.parametrize("variable", ["http_proxy", "https_proxy", "grpc_proxy"])
def test_a_local_worker_is_reached_although_a_proxy_is_set(
    worker: FakeWorker, invoke: Invoke, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    assert invoke(Settings(worker.target), "health") is Health.SERVING
    assert invoke(Settings(worker.target.replace("127.0.0.1", "localhost")), "health") is Health.SERVING


def test_a_worker_behind_a_socket_file_is_reached_although_a_proxy_is_set(
    tmp_path: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    address = f"unix:{tmp_path}/qda.sock"
    worker = FakeWorker().start(address=address)
    try:
        assert invoke(Settings(address), "health") is Health.SERVING
    finally:
        worker.stop()


@pytest.mark.parametrize("method", ["sentiment", "analyze"])
def test_the_message_names_the_proxy_without_its_password(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setenv("http_proxy", "http://anna:geheim@127.0.0.1:9")
    arguments: list[list[Any]] = [["gut"]] if method == "sentiment" else [["gut"], [SentimentTask()]]
    with pytest.raises(NotReachable) as caught:
        invoke(Settings("worker.invalid:50051", timeout=20), method, *arguments)
    assert "through the proxy http://127.0.0.1:9 of the variable http_proxy" in caught.value.message
    assert "add worker.invalid to the variable no_proxy" in caught.value.remedy
    assert not re.search("geheim|anna", str(caught.value))


@pytest.mark.parametrize("password", ["ge/heim", "12/heim", "12?heim", "12#heim"])
def test_a_password_that_makes_the_url_invalid_is_not_in_the_message(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    monkeypatch.setenv("http_proxy", f"http://anna:{password}@127.0.0.1:9")
    with pytest.raises(NotReachable) as caught:
        invoke(Settings("worker.invalid:50051", timeout=20), "health")
    assert "the variable http_proxy has no valid address of a proxy" in caught.value.message
    assert not re.search("anna|heim|12|ge/", str(caught.value))
