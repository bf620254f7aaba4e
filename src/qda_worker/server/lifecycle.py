"""From start to end of a serving process: open, watch the cache, and on SIGTERM drain.

The order of the end: NOT_SERVING at once; serve as usual for the drain delay, while endpoints are updated; stop
accepting and let the calls in flight end within the grace; then let go of the models. A second signal ends it at once.
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

from model_cache.reasons import EXIT_TERMINATED, Reason
from qda_worker.addresses import Address
from qda_worker.observability.logs import Log
from qda_worker.registry.cache_watch import LOAD_THREAD_PREFIX
from qda_worker.scheduling.workers import COMPUTE_THREAD_PREFIX
from qda_worker.server.health import Health

_UNHEEDED: Final = (LOAD_THREAD_PREFIX, COMPUTE_THREAD_PREFIX)
EXIT_CODES: Final = {signal.SIGTERM: EXIT_TERMINATED, signal.SIGINT: Reason.INTERRUPTED.exit_code}


class StopSignals:
    """SIGTERM and SIGINT: the first asks for a drain, the second ends the process."""

    def __init__(self, log: Log, end_now: Callable[[int], None] = os._exit) -> None:
        self._log = log
        self._end_now = end_now
        self.asked = asyncio.Event()

    def catch(self) -> None:
        """Take the signals over from Python's own handlers; only in the main thread, with the loop running."""
        loop = asyncio.get_running_loop()
        for number in EXIT_CODES:
            loop.add_signal_handler(number, self.on_signal, number)

    def on_signal(self, number: signal.Signals) -> None:
        """What happens when a signal comes."""
        if self.asked.is_set():
            self._log.warning("server.ended_at_once", signal=number.name)
            self._end_now(EXIT_CODES[number])
        self._log.info("server.draining", signal=number.name)
        self.asked.set()


async def drain(
    health: Health,
    servers: list[grpc.aio.Server],
    ending: asyncio.Event,
    *,
    delay: float,
    grace: float,
    log: Log,
) -> None:
    """End serving in order. `delay` and `grace` in seconds; `ending` is set when nothing more is taken in."""
    await health.drain()
    if delay:
        await asyncio.sleep(delay)
    log.info("server.stopping", grace_seconds=grace)
    ending.set()
    health.end()
    await asyncio.gather(*(server.stop(grace) for server in servers))
    log.info("server.stopped")


def leave(code: int, end_now: Callable[[int], None] = os._exit) -> int:
    """The exit code, for a process whose work is done.

    Where a thread still loads or computes, for nobody, the process ends here: an interpreter that ends under native
    code crashes.
    """
    if any(thread.name.startswith(_UNHEEDED) for thread in threading.enumerate()):
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        end_now(code)
    return code


def wait_for_loading() -> None:
    """Let models that are being loaded come to their end, before an interpreter that has failed ends in order."""
    for thread in threading.enumerate():
        if thread.name.startswith(LOAD_THREAD_PREFIX):
            thread.join()


def tell_port(file: Path | None, address: Address) -> None:
    """Write the port for whoever started this program with port 0; by rename, so that it is whole when it is there."""
    if file is None or address.port is None:
        return
    part = file.with_name(file.name + ".part")
    part.write_text(f"{address.port}\n", encoding="ascii")
    part.replace(file)
