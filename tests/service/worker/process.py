"""`qda-worker serve` as a child process, controlled as operators do: by options, signals, log lines and gRPC."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

# Timeout of all waits in seconds: many times their usual duration, even on a busy machine.
TIMEOUT: Final = 120.0


class ServeProcess:
    """A running worker.

    Attributes:
        process: the child process.
        raw: the lines of its stderr so far.
        lines: its structured log lines so far, parsed.
    """

    def __init__(
        self, program: Sequence[str], arguments: list[str], environ: dict[str, str], port_file: Path
    ) -> None:
        self._port_file = port_file
        self.process = subprocess.Popen(
            [sys.executable, "-m", *program, "--port-file", str(port_file), *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.raw: list[str] = []
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.raw.append(line)
            if line.startswith("{"):
                self.lines.append(json.loads(line))

    @property
    def log(self) -> str:
        """Everything on stderr so far."""
        return "".join(self.raw)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the log lines of one event."""
        return [line for line in self.lines if line.get("event") == name]

    def wait_for(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds; fail with the log if the process ends first or the timeout passes."""
        until = time.monotonic() + TIMEOUT
        while not condition():
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"no {what}; exit {self.process.poll()}; log:\n{self.log}")
            time.sleep(0.02)

    def wait_for_event(self, name: str) -> dict[str, Any]:
        """Wait for an event and return its first log line."""
        self.wait_for(name, lambda: bool(self.events(name)))
        return self.events(name)[0]

    @property
    def address(self) -> str:
        """The address of its gRPC port; waits until it listens."""
        self.wait_for("port", self._port_file.exists)
        return f"127.0.0.1:{self._port_file.read_text().strip()}"

    @contextmanager
    def channel(self) -> Iterator[grpc.Channel]:
        """Open a channel to it, without a limit of the message size."""
        options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(self.address, options=options) as channel:
            yield channel

    def wait_until_ready(self) -> None:
        """Wait for `server.ready` in the log."""
        self.wait_for_event("server.ready")

    def health(self, service: str = "", address: str | None = None) -> str:
        """Return the status of a service, by the health service."""
        with grpc.insecure_channel(address or self.address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=TIMEOUT)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, unless the process has ended, and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def close(self) -> None:
        """Close the pipe of its log."""
        assert self.process.stderr is not None
        self.process.stderr.close()

    def wait(self) -> int:
        """Wait for the end of the process and return its exit code."""
        code = self.process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        return code


@contextmanager
def serving(
    folder: Path, *arguments: str, program: Sequence[str] = ("qda_worker", "serve"), **environ: str
) -> Iterator[ServeProcess]:
    """Start a worker that listens on free ports, and kill it at the end.

    Args:
        folder: for its port file.
        arguments: its options.
        program: the module and its first arguments.
        environ: further variables.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("QDA_")}
    port_file = folder / f"port-{time.monotonic_ns()}"
    listen = ["--listen", "127.0.0.1:0", "--drain-delay", "0"]
    worker = ServeProcess(program, [*listen, *arguments], {**inherited, **environ}, port_file)
    try:
        yield worker
    finally:
        if worker.process.poll() is None:
            worker.process.kill()
        worker.wait()
        worker.close()
