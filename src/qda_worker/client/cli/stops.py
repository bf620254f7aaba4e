"""What ends a command early: an error of the client or of the input, Ctrl-C, SIGTERM. Imports no gRPC."""

from typing import Final, TypeAlias

from model_cache.cli.program import Terminated
from model_cache.errors import ModelCacheError
from model_cache.reasons import EXIT_TERMINATED, Reason
from qda_worker.client.errors import ClientError

# What ends a command early.
Stop: TypeAlias = ClientError | ModelCacheError | KeyboardInterrupt | Terminated
STOPS: Final = (ClientError, ModelCacheError, KeyboardInterrupt, Terminated)


class Interrupted(ClientError):
    """The user or the system stopped the program."""

    usual_reason = str(Reason.INTERRUPTED)

    def __init__(self, stop: KeyboardInterrupt | Terminated, progress: str = "no result was written") -> None:
        """Name the signal; `progress` says how much was written."""
        terminated = isinstance(stop, Terminated)
        remedy = (
            "run the command again with the texts that have no result; the ids of the results tell which have one"
            if progress[0].isdigit()
            else "run the command again"
        )
        super().__init__(f"stopped by {'SIGTERM' if terminated else 'SIGINT'}; {progress}", remedy=remedy)
        self.code = EXIT_TERMINATED if terminated else Reason.INTERRUPTED.exit_code


def as_error(stop: Stop, progress: str = "no result was written") -> ClientError | ModelCacheError:
    """Return the error to report for what ended a command."""
    return stop if isinstance(stop, ClientError | ModelCacheError) else Interrupted(stop, progress)


def exit_code(error: ClientError | ModelCacheError) -> int:
    """Return the exit code of the program after an error."""
    if isinstance(error, Interrupted):
        return error.code
    return error.exit_code if isinstance(error, ClientError) else error.reason.exit_code


def error_fields(error: ClientError | ModelCacheError) -> dict[str, str]:
    """Return an error as it is in the JSON output."""
    return {"reason": str(error.reason), "message": error.message, "remedy": error.remedy}
