"""The program's three streams: results on stdout, progress and log messages on stderr.

Progress is one line that is drawn over itself, and only if stderr is a terminal. Log messages are those of the client
library about waiting for the worker (`retry`); they replace the progress line.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import BinaryIO, Final, TextIO

from model_cache.errors import ModelCacheError
from model_cache.explanations import error_lines
from model_cache.formatting import printable, printable_lines
from qda_worker.client.cli.options import PROGRAM
from qda_worker.client.errors import ClientError
from qda_worker.client.retry import LOG

# Moves the cursor to the start of the line and erases the line (ECMA-48 EL).
_CLEAR_LINE: Final = "\r\x1b[K"


@dataclass(slots=True)
class Terminal:
    """The streams of one run.

    Attributes:
        progress: whether to draw progress on stderr.
        has_output: whether a result was written.
    """

    stdin: BinaryIO
    stdout: TextIO
    stderr: TextIO
    progress: bool
    has_output: bool = False

    def write(self, text: str, *, flush: bool = False) -> None:
        """Write one or more results to stdout; `flush` passes them on at once.

        Raises:
            OSError: when that is not possible, with `stdout` as its file.
        """
        self.has_output = True
        try:
            self.stdout.write(text + "\n")
            if flush:
                self.stdout.flush()
        except OSError as error:
            raise OSError(error.errno, error.strerror, "stdout") from error

    def report(self, message: str) -> None:
        """Write a message to stderr, over the progress."""
        self._report(f"{PROGRAM}: {printable_lines(message)}\n")

    def report_error(self, error: ClientError | ModelCacheError, progress: str = "") -> None:
        """Write an error to stderr, and where its reason is explained; `progress` is a sentence about the results."""
        message = f"{str(error).removesuffix('.')}. {progress}" if progress else str(error)
        self._report(error_lines(PROGRAM, message, error.reason))

    def _report(self, lines: str) -> None:
        self.stderr.write(f"{_CLEAR_LINE if self.progress else ''}{lines}")
        self.stderr.flush()

    def descriptors(self) -> list[int]:
        """Return the file descriptors of stdout and stderr, unless they have none."""
        found = []
        for stream in (self.stdout, self.stderr):
            with suppress(OSError, ValueError):  # not those of a file, or closed
                found.append(stream.fileno())
        return found

    def draw(self, line: str) -> None:
        """Draw the progress over the former one; an empty line erases it."""
        if self.progress:
            self.stderr.write(_CLEAR_LINE + line)
            self.stderr.flush()

    @contextmanager
    def log_messages(self, *, quiet: bool) -> Iterator[None]:
        """Write the client library's log messages to stderr while the context lasts, or drop them if `quiet`."""
        handler = logging.NullHandler() if quiet else _StderrHandler(self.stderr)
        level = LOG.level
        LOG.setLevel(logging.INFO)
        LOG.addHandler(handler)
        try:
            yield
        finally:
            LOG.removeHandler(handler)
            LOG.setLevel(level)


class _StderrHandler(logging.Handler):
    """Writes each message as a line of this program, over a progress line."""

    def __init__(self, stderr: TextIO) -> None:
        super().__init__()
        self._stderr = stderr

    def emit(self, record: logging.LogRecord) -> None:
        clear = _CLEAR_LINE if self._stderr.isatty() else ""
        self._stderr.write(f"{clear}{PROGRAM}: {printable(record.getMessage())}\n")
        self._stderr.flush()
