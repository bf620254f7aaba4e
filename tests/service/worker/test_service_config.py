"""The service config and the channel options fit real workers: each address of a name gets calls, also a new one.

A name has the addresses that a DNS server of the test returns. The workers listen at 127.0.0.1 and 127.0.0.2, and end
each connection after a second, so that the name is resolved again.
"""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from qda.v1 import sentiment_pb2, sentiment_pb2_grpc
from qda_worker.client import Client
from tests.service.worker.calls import TIMEOUT, texts
from tests.service.worker.process import ServeProcess, serving
from tests.support.fake_dns import FakeDns, fake_dns
from tests.support.service_config import documented_service_config

HOSTS: Final = ("127.0.0.1", "127.0.0.2")
REQUEST: Final = sentiment_pb2.AnalyzeSentimentRequest(texts=texts("Gut."))


def free_port() -> int:
    """Return a port that is free at both addresses."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))
        return int(probe.getsockname()[1])


class Workers:
    """A worker at each address, at one port, and the DNS server that knows them."""

    def __init__(self, folder: Path, dns: FakeDns) -> None:
        self._folder = folder
        self._open = ExitStack()
        self.port = free_port()
        self.dns = dns
        self.target = dns.target(self.port)
        self.at = {host: self.start(host) for host in HOSTS}
        for worker in self.at.values():
            worker.wait_until_ready()

    def start(self, host: str) -> ServeProcess:
        options = ("--max-connection-age", "1s", "--cache", "/nowhere", "--drain-delay", "1s")
        listen = ("--listen", f"{host}:{self.port}")
        program = ("tests.support.echo_process",)
        return self._open.enter_context(serving(self._folder, *options, *listen, program=program))

    def calls(self) -> dict[str, int]:
        """Return the number of calls that each worker has logged."""
        return {
            host: sum("AnalyzeSentiment" in str(line) for line in worker.lines)
            for host, worker in self.at.items()
        }

    def close(self) -> None:
        self._open.close()


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workers]:
    with fake_dns(*HOSTS) as dns:
        running = Workers(tmp_path_factory.mktemp("workers"), dns)
        try:
            yield running
        finally:
            running.close()


@contextmanager
def callers(workers: Workers) -> Iterator[list[Any]]:
    """Return functions that make a call: by the documented config alone, and by the project's client."""
    options = [
        ("grpc.service_config", documented_service_config()),
        ("grpc.dns_min_time_between_resolutions_ms", 1000),
        ("grpc.use_local_subchannel_pool", 1),
    ]
    with grpc.insecure_channel(workers.target, options) as channel, Client(workers.target) as client:
        stub = sentiment_pb2_grpc.SentimentServiceStub(channel)
        yield [
            lambda: stub.AnalyzeSentiment(REQUEST, timeout=TIMEOUT),
            lambda: client.sentiment(["Gut."]),
        ]


def until_calls(workers: Workers, call: Any, more: dict[str, int]) -> None:
    """Call until each worker has logged so many calls more."""
    before = workers.calls()
    until = time.monotonic() + TIMEOUT
    while any(workers.calls()[host] - before[host] < count for host, count in more.items()):
        assert time.monotonic() < until, (before, workers.calls())
        call()
        time.sleep(0.02)


def test_each_address_of_a_name_gets_calls(workers: Workers) -> None:
    workers.dns.addresses = list(HOSTS)
    with callers(workers) as calls:
        for call in calls:
            before = workers.calls()
            until_calls(workers, call, dict.fromkeys(HOSTS, 10))
            taken = {host: count - before[host] for host, count in workers.calls().items()}
            assert max(taken.values()) < 3 * min(taken.values())


def test_a_new_address_gets_calls_and_none_fails(workers: Workers) -> None:
    """The old worker ends its connections because of their age, and the name has another address then."""
    first, second = HOSTS
    workers.dns.addresses = [first]
    with callers(workers) as calls:
        for call in calls:
            call()
        workers.dns.addresses = [second]
        for call in calls:
            until_calls(workers, call, {second: 5})
        workers.dns.addresses = [first, second]
        for call in calls:
            until_calls(workers, call, {first: 5, second: 5})


def test_a_stream_has_each_document_once_while_both_workers_are_replaced(
    workers: Workers, tmp_path: Path
) -> None:
    """As in a rolling update: one worker after the other is stopped, and another one starts in its place."""
    workers.dns.addresses = list(HOSTS)
    corpus, output = tmp_path / "corpus.txt", tmp_path / "results.jsonl"
    count = 6_000
    corpus.write_text("".join(f"Das ist Satz {number}.\n" for number in range(count)), encoding="utf-8")
    command = ["analyze", str(corpus), "--task", "sentiment", "--resume", str(output), "--quiet"]
    module = [sys.executable, "-m", "qda_worker.client.cli.main", *command, "--target", workers.target]
    with subprocess.Popen(module, stderr=subprocess.PIPE, text=True) as program:
        for share, host in enumerate(HOSTS, start=1):
            until = time.monotonic() + TIMEOUT
            while program.poll() is None and _lines(output) < share * count // 10:
                assert time.monotonic() < until
                time.sleep(0.01)
            assert program.poll() is None, "the run ended before the update"
            assert workers.at[host].stop() == 0
            workers.at[host] = workers.start(host)
            workers.at[host].wait_until_ready()
        _, errors = program.communicate(timeout=TIMEOUT)
    assert program.returncode == 0, errors
    records = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert [record["id"] for record in records] == [str(number + 1) for number in range(count)]
    assert not any(record.get("error") for record in records)


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0
