"""The failures that end a command (errors of client or input, Ctrl-C, SIGTERM), and how they are reported. No gRPC."""

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

    def __init__(
        self, failure: KeyboardInterrupt | Terminated, progress: str = "no result was written"
    ) -> None:
        """Create the error; `progress` describes how much was written."""
        terminated = isinstance(failure, Terminated)
        remedy = (
            "run the command again with the texts that have no result; the ids of the results tell which have one"
            if progress[0].isdigit()
            else "run the command again"
        )
        super().__init__(f"stopped by {'SIGTERM' if terminated else 'SIGINT'}; {progress}", remedy=remedy)
        self.code = EXIT_TERMINATED if terminated else Reason.INTERRUPTED.exit_code


def as_error(
    failure: CommandFailure, progress: str = "no result was written"
) -> ClientError | ModelCacheError:
    """Return the error to report for a failure."""
    return failure if isinstance(failure, ClientError | ModelCacheError) else Interrupted(failure, progress)


def exit_code(error: ClientError | ModelCacheError) -> int:
    """Return the exit code of the program after an error."""
    if isinstance(error, Interrupted):
        return error.code
    return error.exit_code if isinstance(error, ClientError) else error.reason.exit_code


def error_fields(error: ClientError | ModelCacheError) -> dict[str, str]:
    """Return an error as it is in the JSON output."""
    return {"reason": str(error.reason), "message": error.message, "remedy": error.remedy}
