"""The limit of concurrent calls, and the share of one caller."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from qda_worker.errors import TooManyCalls
from qda_worker.interceptors.concurrency import CallLimit, peer_host
from qda_worker.observability.call_record import begin_call


@dataclass
class FakeContext:
    """A call of a peer."""

    address: str

    def peer(self) -> str:
        return self.address


def enter(limit: CallLimit, calls: ExitStack, peer: str, name: str = "") -> None:
    """Begin a call that lasts until `calls` is closed."""
    begin_call("qda.v1.S/M").peer_name = name
    context: Any = FakeContext(peer)
    calls.enter_context(limit._count(context))


def test_one_host_gets_four_fifths_and_another_the_rest() -> None:
    limit = CallLimit(10)
    with ExitStack() as calls:
        for port in range(8):
            enter(limit, calls, f"ipv4:10.0.0.1:{port}")
        with pytest.raises(TooManyCalls, match="8 calls of this host or certificate"):
            enter(limit, calls, "ipv4:10.0.0.1:9")
        for port in range(2):
            enter(limit, calls, f"ipv6:%5B::1%5D:{port}")
        with pytest.raises(TooManyCalls, match="10 calls are in progress"):
            enter(limit, calls, "ipv4:10.0.0.3:1")
    with ExitStack() as calls:
        enter(limit, calls, "ipv4:10.0.0.1:9")


def test_a_certificate_is_one_caller_on_all_its_hosts() -> None:
    limit = CallLimit(5)
    with ExitStack() as calls:
        for host in range(4):
            enter(limit, calls, f"ipv4:10.0.0.{host}:1", "analyst")
        with pytest.raises(TooManyCalls):
            enter(limit, calls, "ipv4:10.0.0.9:1", "analyst")
        enter(limit, calls, "ipv4:10.0.0.1:2", "other")


@pytest.mark.parametrize("max_calls", [1, 2, 3])
def test_a_small_limit_is_one_callers_alone(max_calls: int) -> None:
    limit = CallLimit(max_calls)
    with ExitStack() as calls:
        for port in range(max_calls):
            enter(limit, calls, f"ipv4:10.0.0.1:{port}")


def test_only_the_port_of_a_peer_is_left_out() -> None:
    assert peer_host("ipv4:10.0.0.1:5") == "ipv4:10.0.0.1"
    assert peer_host("ipv6:%5B::1%5D:5") == "ipv6:%5B::1%5D"
    assert peer_host("unix:/run/qda.sock") == "unix:/run/qda.sock"
