"""Signals, graceful shutdown, and the exit of a process whose threads may still run.

The first SIGTERM or SIGINT starts the shutdown, in these phases:

1. Drain: health reports NOT_SERVING at once, except `liveness`. The worker serves as usual for the drain delay
   (`--drain-delay`), because load balancers need that long to remove the endpoint. A worker that was never ready is in
   no endpoints, and skips the delay.
2. Handover, at half of the drain delay (see `goaway_delay`): a successor starts to listen at the same address, and the
   first server ends its connections with GOAWAY. Their calls finish; their clients connect elsewhere, or to the
   successor if their view of the endpoints is old. The successor asks its connections to leave every second.
3. Stop: the servers accept no new calls, long streams and `Watch` streams end, and calls in flight have the shutdown
   grace (`--shutdown-grace`) to finish. Then they are cancelled.
4. Close: metrics, traces and models are closed by `Worker.run`.

gRPC (1.71 to 1.85) has no way to send GOAWAY and go on accepting calls: `Server.stop` does both at the same time, and a
call that the client sent before it read the GOAWAY ends with CANCELLED (grpc/grpc#41785). Only connections that reach
their maximum age end without that loss, which is how the successor ends its own. So one or two calls may end with
CANCELLED at a handover under load, none of which was begun; `qda_worker.client` sends them again, and docs/calling.md
says so for other clients.

A second signal ends the process at once with the exit code of that signal. All of this runs on the event loop; the
signal handlers are those of the loop (`add_signal_handler`), on Windows Python's own.

Model loading and computing run native code in daemon threads that cannot be cancelled. An interpreter that finalizes
under such code crashes, so `exit_if_busy` skips finalization while one of them runs.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import grpc

from model_cache.file_io import replacement
from model_cache.reasons import EXIT_TERMINATED, Reason
from qda_worker.addresses import Address
from qda_worker.observability.logs import Log
from qda_worker.registry.cache_watch import LOAD_THREAD_PREFIX
from qda_worker.scheduling.workers import COMPUTE_THREAD_PREFIX
from qda_worker.server.health import Health

# Exit codes for a second signal.
EXIT_CODES: Final = {signal.SIGTERM: EXIT_TERMINATED, signal.SIGINT: Reason.INTERRUPTED.exit_code}

# Seconds until endpoints and the caches of DNS servers usually lack a worker that drains.
_ENDPOINT_SECONDS: Final = 4.0
# Seconds of the drain delay that are left for clients that come back after the GOAWAY.
_HANDOVER_SECONDS: Final = 1.0

# Name prefixes of the threads that run native code and cannot be cancelled.
_NATIVE_THREADS: Final = (LOAD_THREAD_PREFIX, COMPUTE_THREAD_PREFIX)


class Stoppable(Protocol):
    """A server that can be stopped: of gRPC, or the HTTP server."""

    def stop(self, grace: float | None) -> Coroutine[Any, Any, None]:
        """Accept no new calls, and give calls in flight `grace` seconds to finish."""


class StopSignals:
    """SIGTERM and SIGINT: the first requests a shutdown, the second ends the process.

    Attributes:
        requested: set by the first signal.
    """

    def __init__(self, log: Log, exit_now: Callable[[int], None] = os._exit) -> None:
        self._log = log
        self._exit_now = exit_now
        self.requested = asyncio.Event()

    def install(self) -> None:
        """Replace Python's signal handlers. Call this in the main thread while the loop runs."""
        loop = asyncio.get_running_loop()
        for number in EXIT_CODES:
            try:
                loop.add_signal_handler(number, self.on_signal, number)
            except NotImplementedError:  # the loop of Windows: Python's own handler wakes it up
                signal.signal(number, lambda found, _: self._from_python(loop, found))

    def _from_python(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        loop.call_soon_threadsafe(self.on_signal, signal.Signals(number))

    def on_signal(self, number: signal.Signals) -> None:
        """Handle one signal."""
        if self.requested.is_set():
            self._log.warning("server.ended_at_once", signal=number.name)
            self._exit_now(EXIT_CODES[number])
        self._log.info("server.draining", signal=number.name)
        self.requested.set()


def goaway_delay(drain_delay: float) -> float:
    """Return the seconds between the signal and the GOAWAY: half of the drain delay, or 4 s if that leaves time for it.

    A client that resolves the workers' name because of the GOAWAY may not do so again for 30 s (gRPC's default), and
    until endpoints and the caches of DNS servers are updated it would find this worker again.
    """
    return max(drain_delay / 2, min(_ENDPOINT_SECONDS, drain_delay - _HANDOVER_SECONDS))


async def drain(
    health: Health,
    servers: Sequence[Stoppable],
    draining: asyncio.Event,
    *,
    start_successor: Callable[[], Awaitable[grpc.aio.Server | None]],
    delay: float,
    grace: float,
    log: Log,
) -> None:
    """Run the phases "drain", "handover" and "stop" of a shutdown.

    Args:
        health: set to NOT_SERVING at once.
        servers: the main server, then those that serve until the delay is over.
        draining: set after the delay; long streams end then.
        start_successor: starts the server that takes new connections after the GOAWAY; returns None if it cannot, and
            then the main server serves until the delay is over.
        delay: seconds to keep serving after the signal.
        grace: seconds for calls in flight after that.
        log: receives `server.goaway`, `server.stopping` and `server.stopped`.
    """
    await health.drain()
    stops: list[asyncio.Task[None]] = []
    if delay:
        until_goaway = goaway_delay(delay)
        await asyncio.sleep(until_goaway)
        remaining = delay - until_goaway
        successor = await start_successor()
        if successor is not None:
            main, *others = servers
            log.info("server.goaway", remaining_seconds=round(remaining, 3))
            stops.append(asyncio.create_task(main.stop(remaining + grace)))
            servers = [successor, *others]
        await asyncio.sleep(remaining)
    log.info("server.stopping", grace_seconds=grace)
    draining.set()
    health.stop_watchers()
    await asyncio.gather(*stops, *(server.stop(grace) for server in servers))
    log.info("server.stopped")


def exit_if_busy(code: int, exit_now: Callable[[int], None] = os._exit) -> int:
    """End the process with `code` if a thread still loads or computes; else return `code`.

    Those threads run native code whose results nothing awaits any more. An interpreter that finalizes under them
    crashes.
    """
    if any(thread.name.startswith(_NATIVE_THREADS) for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        exit_now(code)
    return code


def join_loading_threads() -> None:
    """Wait for the models that are being loaded, so that a failed process can finalize its interpreter safely."""
    for thread in threading.enumerate():
        if thread.name.startswith(LOAD_THREAD_PREFIX):
            thread.join()


def write_port_file(file: Path | None, address: Address) -> None:
    """Write the port of `address` to `file` by rename, so that a reader never sees a part of it.

    Does nothing without a file, and for a Unix socket.
    """
    if file is None or address.port is None:
        return
    with replacement(file, sync=False) as content:
        content.write(f"{address.port}\n".encode("ascii"))
