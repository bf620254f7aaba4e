"""The failures that end a command (errors of client or input, Ctrl-C, SIGTERM), and how they are reported. No gRPC."""

from typing import Final, TypeAlias

from model_cache.cli.program import Terminated
from model_cache.errors import ModelCacheError
from model_cache.explanations import with_help
from model_cache.json_values import Json
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


def error_fields(error: ClientError | ModelCacheError) -> Json:
    """Return an error as it is in the JSON output."""
    return with_help({"reason": error.reason, "message": error.message, "remedy": error.remedy})
