"""Shows how far a deep check is: reading gigabytes takes long enough for somebody to wonder."""

import time
from collections.abc import Callable
from typing import TextIO

from model_cache.check.report import human_bytes
from model_cache.check.types import Progress


def progress_to(stderr: TextIO, program: str, clock: Callable[[], float] = time.monotonic) -> Progress:
    """Return a progress that rewrites one line on a terminal, and adds one every ten seconds elsewhere."""
    terminal = stderr.isatty()
    pause, start, end = (0.2, "\r", "\x1b[K") if terminal else (10.0, "", "\n")
    last = clock()

    def show(done: int, total: int) -> None:
        nonlocal last
        if clock() - last < pause and not (terminal and done >= total):
            return
        last = clock()
        share = 100 * done // total if total else 100
        line = f"{program}: read {human_bytes(done)} of {human_bytes(total)} ({share} %)"
        print(start + line, end="\n" if done >= total else end, file=stderr, flush=True)

    return show
