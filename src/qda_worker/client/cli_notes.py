"""What `qda-client` says on stderr while it waits for its worker: the client's own log lines, as this program's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from qda_worker.client.cli_options import PROGRAM
from qda_worker.client.waiting import LOG


class _Notes(logging.Handler):
    """Writes each line to `stderr`, over a progress that may stand there."""

    def __init__(self, stderr: TextIO) -> None:
        super().__init__()
        self._stderr = stderr

    def emit(self, record: logging.LogRecord) -> None:
        clear = "\r\x1b[K" if self._stderr.isatty() else ""
        self._stderr.write(f"{clear}{PROGRAM}: {record.getMessage()}\n")
        self._stderr.flush()


@contextmanager
def waiting_told(stderr: TextIO, quiet: bool) -> Iterator[None]:
    """Tells of waiting as long as the context lasts, or keeps it silent."""
    notes = logging.NullHandler() if quiet else _Notes(stderr)
    level = LOG.level
    LOG.setLevel(logging.INFO)
    LOG.addHandler(notes)
    try:
        yield
    finally:
        LOG.removeHandler(notes)
        LOG.setLevel(level)
