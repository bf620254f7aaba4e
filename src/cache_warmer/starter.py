"""Ends a warmer with the program that started it, however that ends: `kill -9` lets nobody say goodbye.

The starter holds the other end of this program's standard input and never writes to it; the system closes it at the
starter's death. Works on every system, where a death signal is Linux's alone and follows the thread, not the process.
"""

import os
import signal
import threading

GRACE_SECONDS = 10.0
"""From the signal until the process is ended without more ado. A warmer may be killed at any instant: what it published
stays, what it fetched is gone on from."""


def end_with_starter(stdin: int) -> None:
    """From now on the end of this file descriptor ends the process: as SIGTERM does, and soon after at once."""
    threading.Thread(target=_watch, args=(stdin,), name="starter", daemon=True).start()


def _watch(stdin: int) -> None:
    while os.read(stdin, 4096):  # unbuffered: a lock held in a read would abort the interpreter's end
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(GRACE_SECONDS)
    os._exit(128 + signal.SIGTERM)
