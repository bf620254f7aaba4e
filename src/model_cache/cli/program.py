"""The entry point of every program: errors become a message with a remedy, and an exit code.

A program's `main` returns its exit code and raises `ModelCacheError`. `run` calls it, prints the error to stderr and,
with `--format json`, as one document to stdout too. Failed system calls that have an obvious meaning (no space, no
permission) become such errors; every other exception is reported as INTERNAL, with the trace in the log.

SIGTERM raises `Terminated` in the main thread, so that `finally` blocks run as they do for Ctrl-C. C code of a library
may turn that into an error of its own; what goes on after any error calls `raise_if_terminated`. A closed stdout ends
the program with 141, and one that cannot be written with NO_SPACE. A stderr that cannot be written (its reader has
gone, its disk is full) changes nothing: `BestEffortStream` drops what is written to it.

Messages and log records may quote file names and files that others have written. Control characters in them are shown
as escapes, and addresses without passwords.
"""

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, Final, NoReturn, TextIO, cast

from model_cache.errors import NO_SPACE_ERRNOS, ModelCacheError
from model_cache.explanations import error_lines, with_help
from model_cache.formatting import printable, printable_lines
from model_cache.json_values import dump_json_line
from model_cache.reasons import EXIT_TERMINATED, Reason
from model_cache.urls import without_passwords

Main = Callable[[Sequence[str]], int]
# 128 + SIGPIPE, as a shell reports it: the reader of our output has closed it.
EXIT_BROKEN_PIPE: Final = 141

# Values of --format that are about another output than stdout; a command takes them beside the format of its result.
_FILE_FORMATS: Final = frozenset({"oci-image"})
# Set by SIGTERM.
_TERMINATED: Final = threading.Event()
# Remedy for a disk that is full.
_FREE_SPACE: Final = "free some space there, or give another folder"
_NO_PERMISSION: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO})


class Terminated(BaseException):
    """SIGTERM was received. Like `KeyboardInterrupt`, it is not an `Exception`."""


class BestEffortStream:
    """A text stream whose failures to write are ignored: what cannot be written is dropped.

    After the first failure the file descriptor of the stream, if it has one, leads to the null device, so that what
    is still in its buffers cannot fail at the end of the process.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._broken = stream, False

    def write(self, text: str) -> int:
        """Write the text, or drop it; return its length."""
        if not self._broken:
            with self._dropping():
                self._stream.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each line."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Flush the stream, or drop what it holds."""
        if not self._broken:
            with self._dropping():
                self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        """Return any other attribute of the stream."""
        return getattr(self._stream, name)

    @contextlib.contextmanager
    def _dropping(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError):  # ValueError: the stream is closed
            self._broken = True
            _discard(self._stream)


def best_effort(stream: TextIO) -> TextIO:
    """Return a stream whose failures to write are ignored; see `BestEffortStream`."""
    return stream if isinstance(stream, BestEffortStream) else cast(TextIO, BestEffortStream(stream))


def run(
    main: Main, argv: Sequence[str] | None = None, *, name: str, finalize_interpreter: bool = True
) -> NoReturn:
    """Run a program and exit the process with its code.

    Args:
        main: takes the arguments, returns the exit code, raises `ModelCacheError`.
        argv: the arguments without the program's name; None: those of this process.
        name: the program's name, which begins each message.
        finalize_interpreter: False for a program whose libraries have threads that may hold a lock at the end: Python
            stops these threads wherever they are, and its finalization would wait for such a lock for ever.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _prepare_streams()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _raise_terminated)
    code = _flush_stdout(run_main(main, arguments, name=name, environ=os.environ), name)
    if finalize_interpreter:
        sys.exit(code)
    sys.stderr.flush()
    os._exit(code)


def run_main(main: Main, argv: Sequence[str], *, name: str, environ: Mapping[str, str]) -> int:
    """Run a program, print whatever it raises, and return its exit code."""
    try:
        return main(argv)
    except SystemExit as end:  # --help and --version
        return end.code if isinstance(end.code, int) else 0
    except ModelCacheError as error:
        return _report(error, name, argv, environ)
    except KeyboardInterrupt:
        return _report_interrupt(Reason.INTERRUPTED.exit_code, name, argv, environ)
    except Terminated:
        return _report_interrupt(EXIT_TERMINATED, name, argv, environ)
    except BrokenPipeError:
        _discard(sys.stdout)
        return EXIT_BROKEN_PIPE
    except Exception as error:  # noqa: BLE001  # the entry point: a bug must not end in a bare traceback
        known = _known_error(error)
        return _report(known, name, argv, environ) if known else _report_bug(error, name, argv, environ)


def wants_json(argv: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Return whether the output format is JSON, even if the arguments cannot be parsed."""
    for index, argument in enumerate(argv):
        flag, has_value, value = argument.partition("=")
        if flag != "--format":
            continue
        given = value if has_value else "".join(argv[index + 1 : index + 2])
        if given not in _FILE_FORMATS:
            return given == "json"
    return environ.get("QDA_FORMAT", "") == "json"


def set_up_logging(level: str) -> None:
    """Write log records of this level (`debug`, `info`, `warning`, `error`) and above to stderr."""
    import logging  # here: cache-check logs nothing, and the import costs a tenth of its time

    class _Formatter(logging.Formatter):
        """Shows control characters as escapes, and addresses without passwords."""

        def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # the library's name
            return printable(without_passwords(super().formatMessage(record)))

        def formatException(self, ei: Any) -> str:  # noqa: N802  # the same
            return printable_lines(without_passwords(super().formatException(ei)))

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _report(error: ModelCacheError, name: str, argv: Sequence[str], environ: Mapping[str, str]) -> int:
    sys.stderr.write(error_lines(name, str(error), error.reason))
    if wants_json(argv, environ):
        document = {"reason": error.reason, "message": error.message, "remedy": error.remedy}
        try:
            print(dump_json_line(with_help(document)), flush=True)
        except OSError:  # the reader has gone, or the disk is full, which may be the error itself
            _discard(sys.stdout)
    return error.reason.exit_code


def _known_error(error: Exception) -> ModelCacheError | None:
    """Return the error that a failed system call means to a user; None if its meaning is not known."""
    if not isinstance(error, OSError) or error.errno is None:
        return None
    message = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    if error.errno in NO_SPACE_ERRNOS:
        return ModelCacheError(message, _FREE_SPACE, reason=Reason.NO_SPACE)
    if error.errno in _NO_PERMISSION:
        remedy = "give this user access to it, or repair the disk below it"
        return ModelCacheError(message, remedy, reason=Reason.NO_PERMISSION)
    return None


def _report_interrupt(code: int, name: str, argv: Sequence[str], environ: Mapping[str, str]) -> int:
    signal_name = "SIGTERM" if code == EXIT_TERMINATED else "SIGINT"
    error = ModelCacheError(
        f"stopped by {signal_name}",
        "run the same command again; it continues where it stopped",
        reason=Reason.INTERRUPTED,
    )
    _report(error, name, argv, environ)
    return code


def _report_bug(error: Exception, name: str, argv: Sequence[str], environ: Mapping[str, str]) -> int:
    import logging  # here: only bugs need it

    set_up_logging("error")  # of a program that has not done so
    logging.getLogger(name).error("unexpected error", exc_info=error)
    failure = ModelCacheError(
        f"a bug: {type(error).__name__}: {error}",
        "report it with the trace in the log, the command and its version (--version)",
        reason=Reason.INTERNAL,
    )
    return _report(failure, name, argv, environ)


def _raise_terminated(_signal: int, _frame: FrameType | None) -> None:
    _TERMINATED.set()
    raise Terminated


def raise_if_terminated() -> None:
    """Raise `Terminated` if SIGTERM was received, because a library may have handled it as an error of its own."""
    if _TERMINATED.is_set():
        raise Terminated


def _prepare_streams() -> None:
    """Replace standard streams that are closed or lose output, and escape characters that they cannot encode."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # the process was started with it closed
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # open until exit
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout = _with_buffer(sys.stdout)
    sys.stderr = best_effort(sys.stderr)


def _with_buffer(stream: TextIO) -> TextIO:
    """Return a stream that writes all of a long text.

    With PYTHONUNBUFFERED or `python -u` there is no buffer, and Python drops what one system call does not take: when a
    signal interrupts it, the disk is full, or the reader has gone.
    """
    if not isinstance(stream, io.TextIOWrapper) or not isinstance(stream.buffer, io.RawIOBase):
        return stream
    encoding, errors = stream.encoding, stream.errors
    raw = cast(io.RawIOBase, stream.detach())
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=True)


def _flush_stdout(code: int, name: str) -> int:
    """Write buffered output while an error can still be reported, and return the exit code."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        known = _known_error(error)
        reason, remedy = (known.reason, known.remedy) if known else (Reason.NO_SPACE, _FREE_SPACE)
        if code != reason.exit_code:  # else it was reported when the first part could not be written
            failure = ModelCacheError(f"cannot write the output: {error.strerror}", remedy, reason=reason)
            sys.stderr.write(error_lines(name, str(failure), failure.reason))
        return code or reason.exit_code
    return code


def _discard(stream: TextIO) -> None:
    """Let the descriptor of a stream lead to the null device, so that the interpreter's flush at exit succeeds."""
    with contextlib.suppress(
        OSError, ValueError
    ):  # no descriptor (io.UnsupportedOperation), or a closed stream
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
