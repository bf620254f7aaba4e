"""When a command reacts to Ctrl-C and SIGTERM. No gRPC.

Both raise an exception in the main thread (`KeyboardInterrupt`, `Terminated`) between any two of its instructions. That
is right where it waits for input, and wrong in two places:

* While a result is written, because a line or a document would be torn: `hold_signals` waits until it is complete.
* While it is in gRPC's code, because an exception between taking a lock and entering the block that releases it keeps
  the lock for ever; the channel can then not be closed. In `close_on_signal` a thread closes the client instead, which
  ends the calls as usual.

A second signal raises at once in both, because the output may be blocked by a reader that has stopped. Only the main
thread handles signals; in other threads both contexts do nothing.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType
from typing import TypeAlias

from qda_worker.client.errors import ClientError

# What Python calls in the main thread when a signal has come.
Handler: TypeAlias = Callable[[int, FrameType | None], object]


@contextmanager
def hold_signals() -> Iterator[None]:
    """Let signals wait until the context ends."""
    held: list[int] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            former[held[0]](held[0], frame)
            # reached within `close_on_signal`, which raises for a second signal
            former[number](number, frame)
        held.append(number)

    former = _replace_handlers(hold)
    try:
        yield
    finally:
        _restore_handlers(former)
    if held:
        former[held[0]](held[0], None)


@contextmanager
def close_on_signal(close: Callable[[], None]) -> Iterator[None]:
    """Let a signal end calls of a client by closing it, and raise the signal's exception when they have ended.

    Args:
        close: closes the client; called by another thread.
    """
    received: list[int] = []
    # the only way to wake a thread that a signal handler may use: it may interrupt itself (`queue.SimpleQueue.put`)
    wake: SimpleQueue[bool] = SimpleQueue()

    def defer(number: int, frame: FrameType | None) -> None:
        if received:
            former[number](number, frame)
        received.append(number)
        wake.put(True)

    def close_if_woken() -> None:
        if wake.get():
            close()

    former = _replace_handlers(defer)
    threading.Thread(target=close_if_woken, name="close-on-signal", daemon=True).start()
    try:
        yield
    except ClientError:
        if not received:
            raise
    finally:
        _restore_handlers(former)
        wake.put(False)
    if received:
        former[received[0]](received[0], None)


def _replace_handlers(handler: Handler) -> dict[int, Handler]:
    """Handle both signals with `handler`; return the former handlers, none outside of the main thread."""
    former: dict[int, Handler] = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            present = signal.getsignal(number)
            if callable(present):
                former[int(number)] = present
        for signal_number in former:  # afterwards, because a signal may come at once
            signal.signal(signal_number, handler)
    return former


def _restore_handlers(former: dict[int, Handler]) -> None:
    for number, handler in former.items():
        signal.signal(number, handler)
