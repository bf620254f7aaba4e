"""Signals, graceful shutdown, and the exit of a process whose threads may still run.

The first SIGTERM or SIGINT starts the shutdown, in these phases:

1. Drain: health reports NOT_SERVING at once, except `liveness`. The worker serves as usual for the drain delay
   (`--drain-delay`), because load balancers need that long to remove the endpoint. A worker that was never ready is in
   no endpoints, and skips the delay.
2. Stop: the servers accept no new calls, long streams and `Watch` streams end, and calls in flight have the shutdown
   grace (`--shutdown-grace`) to finish. Then they are cancelled.
3. Close: metrics, traces and models are closed by `Worker.run`.

A second signal ends the process at once with the exit code of that signal. All of this runs on the event loop; the
signal handlers are those of the loop (`add_signal_handler`).

Model loading and computing run native code in daemon threads that cannot be cancelled. An interpreter that finalizes
under such code crashes, so `exit_if_busy` skips finalization while one of them runs.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

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

# Name prefixes of the threads that run native code and cannot be cancelled.
_NATIVE_THREADS: Final = (LOAD_THREAD_PREFIX, COMPUTE_THREAD_PREFIX)


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
            loop.add_signal_handler(number, self.on_signal, number)

    def on_signal(self, number: signal.Signals) -> None:
        """Handle one signal."""
        if self.requested.is_set():
            self._log.warning("server.ended_at_once", signal=number.name)
            self._exit_now(EXIT_CODES[number])
        self._log.info("server.draining", signal=number.name)
        self.requested.set()


async def drain(
    health: Health,
    servers: list[grpc.aio.Server],
    draining: asyncio.Event,
    *,
    delay: float,
    grace: float,
    log: Log,
) -> None:
    """Run the phases "drain" and "stop" of a shutdown.

    Args:
        health: set to NOT_SERVING at once.
        servers: stopped after the delay, all at the same time.
        draining: set after the delay; long streams end then.
        delay: seconds to keep serving after the signal.
        grace: seconds for calls in flight after that.
        log: receives `server.stopping` and `server.stopped`.
    """
    await health.drain()
    if delay:
        await asyncio.sleep(delay)
    log.info("server.stopping", grace_seconds=grace)
    draining.set()
    health.stop_watchers()
    await asyncio.gather(*(server.stop(grace) for server in servers))
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
