"""The failures that end a command (errors of client or input, Ctrl-C, SIGTERM), and how they are reported. No gRPC."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final, TypeAlias

from model_cache.cli.program import Terminated
from model_cache.errors import ModelCacheError
from model_cache.reasons import EXIT_TERMINATED, Reason
from qda_worker.client.errors import ClientError

# Exceptions that end a command early.
CommandFailure: TypeAlias = ClientError | ModelCacheError | KeyboardInterrupt | Terminated
COMMAND_FAILURES: Final = (ClientError, ModelCacheError, KeyboardInterrupt, Terminated)


class Interrupted(ClientError):
    """The user or the system stopped the program."""

    usual_reason = str(Reason.INTERRUPTED)

    def __init__(self, failure: KeyboardInterrupt | Terminated, progress: str, *, some_written: bool) -> None:
        """Create the error; `progress` describes how much was written, empty if that is not known."""
        terminated = isinstance(failure, Terminated)
        remedy = (
            "run the command again with the texts that have no result; the ids of the results tell which have one"
            if some_written
            else "run the command again"
        )
        message = f"stopped by {'SIGTERM' if terminated else 'SIGINT'}"
        super().__init__(f"{message}; {progress}" if progress else message, remedy=remedy)
        self.code = EXIT_TERMINATED if terminated else Reason.INTERRUPTED.exit_code


@contextmanager
def hold_signals() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait until the context ends, so that they tear no line and no document.

    A second signal is handled at once, because the output may be blocked by a reader that has stopped.
    """
    held: list[int] = []
    handlers: dict[int, Callable[[int, FrameType | None], object]] = {}

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            handlers[number](number, frame)
        held.append(number)

    if threading.current_thread() is threading.main_thread():  # the only one that handles signals
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler):
                handlers[number] = handler
                signal.signal(number, hold)
    try:
        yield
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    if held:
        handlers[held[0]](held[0], None)


def as_error(
    failure: CommandFailure, progress: str = "no result was written", *, some_written: bool = False
) -> ClientError | ModelCacheError:
    """Return the error to report for a failure. `progress` describes how much was written; `some_written`: anything."""
    if isinstance(failure, ClientError | ModelCacheError):
        return failure
    return Interrupted(failure, progress, some_written=some_written)


def exit_code(error: ClientError | ModelCacheError) -> int:
    """Return the exit code of the program after an error."""
    if isinstance(error, Interrupted):
        return error.code
    return error.exit_code if isinstance(error, ClientError) else error.reason.exit_code


def error_fields(error: ClientError | ModelCacheError) -> dict[str, str]:
    """Return an error as it is in the JSON output."""
    return {"reason": str(error.reason), "message": error.message, "remedy": error.remedy}
