"""Workers that are stopped, killed, frozen and restarted under load lose no call of a client that knows two of them."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

import grpc
import pytest

from qda.v1 import sentiment_pb2, sentiment_pb2_grpc, text_pb2
from tests.service.worker.calls import TIMEOUT, texts
from tests.service.worker.documents import parts, settings, start_stream
from tests.service.worker.process import ServeProcess, serving
from tests.support import call_load
from tests.support.service_config import documented_service_config

ECHO: Final = ("tests.support.echo_process",)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Replicas:
    """Two workers, each of which is replaced by another one at the same address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open = ExitStack()
        self.ports = [free_port(), free_port()]
        self.workers = [self._start(port) for port in self.ports]

    @property
    def target(self) -> str:
        return "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in self.ports)

    def _start(self, port: int) -> ServeProcess:
        options = ("--listen", f"127.0.0.1:{port}", "--drain-delay", "1", "--cache", "/nowhere")
        return self._open.enter_context(serving(self._folder, *options, program=ECHO))

    def wait_until_ready(self) -> None:
        for worker in self.workers:
            worker.wait_until_ready()

    def replace(self, index: int, number: signal.Signals) -> None:
        """End a worker with a signal, start another one, and wait until that is ready."""
        self.workers[index].stop(number)
        self.workers[index] = self._start(self.ports[index])
        self.workers[index].wait_until_ready()

    def close(self) -> None:
        self._open.close()


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replicas]:
    running = Replicas(tmp_path_factory.mktemp("replicas"))
    try:
        running.wait_until_ready()
        yield running
    finally:
        running.close()


@contextmanager
def load(replicas: Replicas, folder: Path) -> Iterator[list[dict[str, Any]]]:
    """Send calls of all kinds during the block; the list is filled at its end."""
    report: list[dict[str, Any]] = []
    arguments = ["--rate=30", f"--service-config={documented_service_config()}", f"--folder={folder}"]
    arguments.append("--sentiment-only")
    command = [sys.executable, str(call_load.__file__), replicas.target, *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(3)  # all sources have begun
        yield report
        (folder / "stop").touch()
        output, _ = process.communicate(timeout=TIMEOUT)
    finally:
        process.kill()
    report += json.loads(output.partition("REPORT ")[2])


def assert_nothing_failed(report: list[dict[str, Any]]) -> None:
    sources = {"sync", "async", "documents", "async documents"}
    assert {entry["source"] for entry in report} >= sources
    assert [entry for entry in report if entry["failed"]] == []


def without_plain(report: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the counts of the project's client; gRPC alone gives up after the attempts of its service config."""
    return [entry for entry in report if entry["source"] != "plain"]


def test_no_call_is_lost_while_workers_are_stopped_killed_and_restarted(
    replicas: Replicas, tmp_path: Path
) -> None:
    with load(replicas, tmp_path) as report:
        for pause, index, number in (
            (0.0, 0, signal.SIGTERM),
            (0.4, 1, signal.SIGKILL),
            (0.1, 1, signal.SIGTERM),
            (0.7, 0, signal.SIGKILL),
        ):
            time.sleep(pause)
            replicas.replace(index, number)
    assert_nothing_failed(report)


def test_no_call_is_lost_while_no_worker_runs_for_a_moment(replicas: Replicas, tmp_path: Path) -> None:
    with load(replicas, tmp_path) as report:
        replicas.workers[0].process.kill()
        replicas.replace(1, signal.SIGTERM)
        replicas.replace(0, signal.SIGKILL)
    assert_nothing_failed(without_plain(report))


def test_a_worker_that_freezes_is_noticed_by_keepalive(replicas: Replicas, tmp_path: Path) -> None:
    """It closes no connection and answers nothing, like one whose node has gone."""
    with load(replicas, tmp_path) as report:
        replicas.workers[0].process.send_signal(signal.SIGSTOP)
        time.sleep(35)
        replicas.workers[0].process.send_signal(signal.SIGCONT)
    assert_nothing_failed(without_plain(report))


def test_a_second_worker_at_the_address_of_a_running_one_is_a_usage_error(
    replicas: Replicas, tmp_path: Path
) -> None:
    """Its successor may share the address, another worker must not: it would get half of the connections."""
    with serving(tmp_path, "--listen", f"127.0.0.1:{replicas.ports[0]}", program=ECHO) as second:
        assert second.wait() == 2
        assert f"USAGE: --listen 127.0.0.1:{replicas.ports[0]}" in second.log


def test_after_goaway_new_connections_are_served_and_calls_in_flight_go_on(tmp_path: Path) -> None:
    drain = ("--drain-delay", "30", "--shutdown-grace", "60")
    with serving(tmp_path, "--cache", "/nowhere", *drain, program=ECHO) as worker:
        worker.wait_until_ready()
        # Channels of one process share connections, unless they have pools of their own.
        own_pool = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(worker.address, own_pool) as old:
            states: list[grpc.ChannelConnectivity] = []
            old.subscribe(states.append)
            documents: SimpleQueue[text_pb2.Text | None] = SimpleQueue()
            documents.put(text_pb2.Text(content="Das ist sehr gut."))
            stream = start_stream(old, parts(settings(sentiment=True), iter(documents.get, None)))
            assert [next(stream).WhichOneof("part") for _ in range(2)] == ["header", "result"]
            worker.process.send_signal(signal.SIGTERM)
            worker.wait_for_event("server.goaway")
            with grpc.insecure_channel(worker.address, own_pool) as new:
                few = sentiment_pb2.AnalyzeSentimentRequest(texts=texts("Gut."))
                stub = sentiment_pb2_grpc.SentimentServiceStub(new)
                assert len(stub.AnalyzeSentiment(few, timeout=TIMEOUT, wait_for_ready=True).results) == 1
            worker.wait_for("end of the connection", lambda: grpc.ChannelConnectivity.IDLE in states[1:])
            documents.put(text_pb2.Text(content="Das ist auch gut."))
            assert next(stream).result.index == 1
            assert worker.events("server.stopping") == []
            documents.put(None)
            assert list(stream) == []
        worker.process.send_signal(signal.SIGTERM)
        worker.wait()
