"""The phases of a shutdown, and the end of a process whose threads may still run native code."""

import asyncio
import signal
import threading
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from qda_worker.addresses import Address
from qda_worker.server.health import Health
from qda_worker.server.lifecycle import StopSignals, drain, exit_if_busy, goaway_delay, write_port_file


class StoppedServer:
    """Stands for a gRPC server; records when it was stopped, and with which grace."""

    def __init__(self, name: str, stops: list[tuple[str, float]]) -> None:
        self._name = name
        self._stops = stops

    async def stop(self, grace: float) -> None:
        self._stops.append((self._name, round(grace, 3)))


def run_drain(delay: float, *, with_successor: bool) -> list[tuple[str, float]]:
    stops: list[tuple[str, float]] = []

    async def start_successor() -> Any:
        stops.append(("successor starts", 0.0))
        return StoppedServer("successor", stops) if with_successor else None

    async def run() -> None:
        servers = cast("Any", [StoppedServer("main", stops), StoppedServer("probes", stops)])
        await drain(
            Health([]), servers, asyncio.Event(), start_successor=start_successor, delay=delay, grace=3,
            log=structlog.wrap_logger(structlog.ReturnLogger()),
        )  # fmt: skip

    asyncio.run(run())
    return stops


def test_the_first_server_stops_within_the_drain_delay_and_its_successor_after_it() -> None:
    stops = run_drain(0.2, with_successor=True)
    assert stops == [("successor starts", 0.0), ("main", 3.1), ("successor", 3), ("probes", 3)]


def test_without_a_successor_the_first_server_serves_until_the_end_of_the_delay() -> None:
    stops = run_drain(0.2, with_successor=False)
    assert stops == [("successor starts", 0.0), ("main", 3), ("probes", 3)]


def test_without_a_drain_delay_nothing_is_handed_over() -> None:
    assert run_drain(0, with_successor=True) == [("main", 3), ("probes", 3)]


@pytest.mark.parametrize(("delay", "expected"), [(1, 0.5), (2, 1), (5, 4), (6, 4), (10, 5), (60, 30)])
def test_the_goaway_comes_at_half_of_the_delay_or_after_four_seconds(delay: float, expected: float) -> None:
    assert goaway_delay(delay) == expected


def test_a_process_that_still_loads_exits_at_once_with_its_code() -> None:
    exits: list[int] = []
    assert exit_if_busy(0, exits.append) == 0
    assert exits == []
    release = threading.Event()
    thread = threading.Thread(target=release.wait, args=(30,), name="load-slow", daemon=True)
    thread.start()
    try:
        exit_if_busy(7, exits.append)
        assert exits == [7]
    finally:
        release.set()
        thread.join(30)


def test_the_port_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    folder = tmp_path / "ports"
    folder.mkdir()
    file = folder / "port"
    file.write_text("a former port, which was longer\n")
    write_port_file(file, Address("127.0.0.1", 50051))
    assert file.read_text() == "50051\n"
    assert list(folder.iterdir()) == [file]


def test_a_unix_socket_has_no_port_file(tmp_path: Path) -> None:
    file = tmp_path / "port"
    write_port_file(file, Address("unix:/run/qda.sock", None))
    assert not file.exists()


class LoopOfWindows(asyncio.SelectorEventLoop):
    """A loop that handles no signals, as the one of Windows."""

    def add_signal_handler(self, *_: Any) -> None:  # type: ignore[override]  # it never looks at them
        raise NotImplementedError


@pytest.mark.parametrize("loop", [asyncio.SelectorEventLoop, LoopOfWindows])
def test_the_first_signal_requests_a_shutdown_and_the_second_ends_the_process(
    loop: type[asyncio.AbstractEventLoop],
) -> None:
    exits: list[int] = []
    former = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    async def run() -> None:
        ended = asyncio.Event()

        def exit_now(code: int) -> None:
            exits.append(code)
            ended.set()

        signals = StopSignals(structlog.wrap_logger(structlog.ReturnLogger()), exit_now)
        signals.install()
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(signals.requested.wait(), 30)
        assert exits == []
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(ended.wait(), 30)

    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(run())
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
    assert exits == [143]
