"""The one edge of every program: errors become a message with a remedy and an exit code.

Inside, code raises `ModelCacheError` and returns exit codes. Only here is anything printed about failure,
so that all programs say it alike: on stderr, and with `--format json` as one document on stdout too.
"""

import errno
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import Final, NoReturn

from model_cache.errors import ModelCacheError
from model_cache.reasons import EXIT_TERMINATED, Reason

Main = Callable[[Sequence[str]], int]
# As a shell reports a program that SIGPIPE ended: the reader of our output went away.
EXIT_BROKEN_PIPE: Final = 141


class Terminated(BaseException):
    """SIGTERM arrived. Like `KeyboardInterrupt`, it passes every `except Exception`."""


def run(main: Main, argv: Sequence[str] | None = None, *, name: str) -> NoReturn:
    """Run a program and exit the process with its code.

    Args:
        main: takes the arguments, returns the exit code, raises `ModelCacheError`.
        argv: the arguments without the program's name; None: those of this process.
        name: the program's name, which begins each message.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _prepare_streams()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _raise_terminated)
    code = exit_code(main, arguments, name=name, environ=os.environ)
    sys.exit(_flushed(code, name))


def exit_code(main: Main, argv: Sequence[str], *, name: str, environ: Mapping[str, str]) -> int:
    """Run a program and return its exit code; whatever it raises is printed, not passed on."""
    try:
        return main(argv)
    except SystemExit as end:  # --help and --version
        return end.code if isinstance(end.code, int) else 0
    except ModelCacheError as error:
        return _failed(error, name, argv, environ)
    except KeyboardInterrupt:
        return _interrupted(Reason.INTERRUPTED.exit_code, name, argv, environ)
    except Terminated:
        return _interrupted(EXIT_TERMINATED, name, argv, environ)
    except BrokenPipeError:
        _drop_stdout()
        return EXIT_BROKEN_PIPE
    except Exception as error:  # noqa: BLE001  # the edge: a bug must not end in a bare traceback
        known = _as_known(error)
        return _failed(known, name, argv, environ) if known else _internal(error, name, argv, environ)


def wants_json(argv: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Return whether JSON was asked for, also of arguments that cannot be parsed."""
    for index, argument in enumerate(argv):
        if argument == "--format":
            return argv[index + 1 : index + 2] == ["json"]
        if argument.startswith("--format="):
            return argument == "--format=json"
    return environ.get("QDA_FORMAT", "") == "json"


def set_up_logging(level: str) -> None:
    """Send log records of this level (`debug`, `info`, `warning`, `error`) and above to stderr."""
    import logging  # here: cache-check logs nothing, and the import costs a tenth of its time

    logging.basicConfig(
        level=level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )


def _failed(error: ModelCacheError, name: str, argv: Sequence[str], environ: Mapping[str, str]) -> int:
    print(f"{name}: {error}", file=sys.stderr)
    if wants_json(argv, environ):
        document = {"reason": str(error.reason), "message": error.message, "remedy": error.remedy}
        print(json.dumps(document, ensure_ascii=False))
    return error.reason.exit_code


_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_PERMISSION: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO})


def _as_known(error: Exception) -> ModelCacheError | None:
    """Return what a failed system call means to a user, or None if that is not known."""
    if not isinstance(error, OSError) or error.errno is None:
        return None
    message = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    if error.errno in _NO_SPACE:
        remedy = "free some space there, or give another folder"
        return ModelCacheError(message, remedy, reason=Reason.NO_SPACE)
    if error.errno in _NO_PERMISSION:
        remedy = "let this user use it, or mend the disk below it"
        return ModelCacheError(message, remedy, reason=Reason.NO_PERMISSION)
    return None


def _interrupted(code: int, name: str, argv: Sequence[str], environ: Mapping[str, str]) -> int:
    signal_name = "SIGTERM" if code == EXIT_TERMINATED else "SIGINT"
    error = ModelCacheError(
        f"stopped by {signal_name}",
        "run the same command again; it goes on from there",
        reason=Reason.INTERRUPTED,
    )
    _failed(error, name, argv, environ)
    return code


def _internal(error: Exception, name: str, argv: Sequence[str], environ: Mapping[str, str]) -> int:
    import logging

    logging.getLogger(name).error("unexpected error", exc_info=error)
    failure = ModelCacheError(
        f"a bug: {type(error).__name__}: {error}",
        "report it with the trace in the log, the command and its version (--version)",
        reason=Reason.INTERNAL,
    )
    return _failed(failure, name, argv, environ)


def _raise_terminated(_signal: int, _frame: FrameType | None) -> None:
    raise Terminated


def _prepare_streams() -> None:
    """Have somewhere to print to, also where both are closed, and escape what cannot be shown."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # lives on
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _flushed(code: int, name: str) -> int:
    """Write out what is buffered now, where a failure can still be said."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_stdout()
    except OSError as error:
        _drop_stdout()
        print(f"{name}: cannot write the output: {error.strerror}", file=sys.stderr)
        return code or Reason.NO_SPACE.exit_code
    return code


def _drop_stdout() -> None:
    """Let the interpreter's own flush at exit succeed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
