"""Display of a deep check's progress: reading gigabytes takes long enough to need one."""

import time
from collections.abc import Callable
from typing import Final, TextIO

from model_cache.check.types import ProgressCallback
from model_cache.formatting import human_bytes

# Seconds between two lines.
_TERMINAL_INTERVAL: Final = 0.2
_LOG_INTERVAL: Final = 10.0


def progress_printer(
    stderr: TextIO, program: str, clock: Callable[[], float] = time.monotonic
) -> ProgressCallback:
    """Return a callback that updates one line on a terminal, and prints a line every ten seconds elsewhere.

    Args:
        stderr: where to print.
        program: name at the beginning of each line.
        clock: returns seconds.
    """
    is_terminal = stderr.isatty()
    # On a terminal: return to the line's beginning, and erase what is left of a longer former line.
    interval, start, end = (_TERMINAL_INTERVAL, "\r", "\x1b[K") if is_terminal else (_LOG_INTERVAL, "", "\n")
    last = clock()

    def show(done: int, total: int) -> None:
        nonlocal last
        if clock() - last < interval and not (is_terminal and done >= total):
            return
        last = clock()
        percent = 100 * done // total if total else 100
        line = f"{program}: read {human_bytes(done)} of {human_bytes(total)} ({percent} %)"
        print(start + line, end="\n" if done >= total else end, file=stderr, flush=True)

    return show
