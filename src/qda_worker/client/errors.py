"""What can go wrong when a worker is called, as one small tree. No bare gRPC error leaves the client.

    ClientError               exit   reason
    ├── InvalidSettings        2     USAGE               the client was set up wrongly: a file of TLS, a name, a number
    ├── InvalidRequest         2     the worker's own, ARGUMENT_INVALID, MODEL_UNKNOWN, TEXT_NOT_UTF8 … (`violations`)
    ├── ServerFailed           50    INTERNAL            the worker failed, or answered what no worker may answer
    ├── NotReachable           60    NOT_REACHABLE       nobody answers at the target, or the connection broke
    │   └── TlsFailed          67    TLS_FAILED          somebody answers, but no encrypted connection comes about
    ├── NotReady               61    NOT_READY, DRAINING the worker is there and cannot answer yet, or no longer
    ├── Overloaded             62    QUEUE_FULL, DEADLINE_TOO_SHORT … (`retry_after`)
    ├── DeadlineExceeded       63    DEADLINE_EXCEEDED   no answer within the time that was given
    ├── NotServed              64    TASK_NOT_SERVED, UNIMPLEMENTED: this worker does not do that
    ├── Refused                65    UNAUTHENTICATED, PERMISSION_DENIED
    └── CallCancelled          66    CANCELLED           the call was cancelled, usually because the client was closed

The exit codes are those of `qda-client`. What is wrong with one text is not raised: it stands in that text's result, as
its `error` (`qda_worker.client.results.ItemError`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from qda_worker.client.results import Answer


@dataclass(frozen=True, slots=True)
class Violation:
    """One field of the request that is not as it should be: its path, `texts[17].content` for instance, and why."""

    field: str
    description: str


class ClientError(Exception):
    """A call that gave no answer: its reason (one word), the message, and what to do about it.

    `partial`: of a list that travelled in several requests, the results before the one that failed; None if there are
    none. To go on: `texts[len(error.partial):]`.
    """

    usual_reason: ClassVar[str] = "INTERNAL"
    usual_remedy: ClassVar[str] = ""
    exit_code: ClassVar[int] = 50

    def __init__(self, message: str, *, reason: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.partial: Answer[Any] | None = None
        self.message = message
        self.reason = reason or self.usual_reason
        self.remedy = remedy or self.usual_remedy

    def __str__(self) -> str:
        """`REASON: message. Remedy: remedy`."""
        stop = "" if self.message.endswith((".", "!", "?")) else "."
        return f"{self.reason}: {self.message}{stop} Remedy: {self.remedy}"

    def fields(self) -> dict[str, str]:
        """Return reason, message and remedy as the JSON output of `qda-client` has them."""
        return {"reason": self.reason, "message": self.message, "remedy": self.remedy}


class InvalidSettings(ClientError):
    """The client cannot be made as it was asked for."""

    usual_reason = "USAGE"
    usual_remedy = "correct the setting that is named"
    exit_code = 2


class InvalidRequest(ClientError):
    """The request cannot be answered as it is; found by the client before sending, or by the worker.

    `violations` name the fields at fault, where there are fields.
    """

    usual_reason = "ARGUMENT_INVALID"
    usual_remedy = "correct the request; the proto's comments say what each field may hold"
    exit_code = 2

    def __init__(
        self, message: str, *, reason: str = "", remedy: str = "", violations: Sequence[Violation] = ()
    ) -> None:
        super().__init__(message, reason=reason, remedy=remedy)
        self.violations = tuple(violations)


class ServerFailed(ClientError):
    """The worker failed over the whole call, or its answer is not one that the contract allows."""

    usual_remedy = "look into the worker's log; if the same request fails again, report it"


class NotReachable(ClientError):
    """Nobody answers at `target`, or the connection broke and trying again did not help."""

    usual_reason = "NOT_REACHABLE"
    usual_remedy = (
        "start the worker (`qda-worker serve`), wait for it (`qda-client health --wait 5m`, `wait_ready`), or name its "
        "address as HOST:PORT"
    )
    exit_code = 60

    def __init__(self, message: str, *, target: str, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.target = target


class TlsFailed(NotReachable):
    """Somebody answers at `target`, but client and worker do not agree on TLS: whom to trust, or whether to encrypt."""

    usual_reason = "TLS_FAILED"
    usual_remedy = "compare the client's files of TLS with the worker's"
    exit_code = 67


class NotReady(ClientError):
    """The worker is there and says that it cannot answer yet, or that it is about to end.

    `lasting`: it says that waiting alone does not help: a model that does not load, a catalog that is invalid.
    `retry_after` is the wait in seconds that it asks for; None if it does not say.
    """

    usual_reason = "NOT_READY"
    usual_remedy = "wait until the worker is ready (`wait_ready`); `qda-client cache` says what is missing"
    exit_code = 61

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        remedy: str = "",
        retry_after: float | None = None,
        lasting: bool = False,
    ) -> None:
        super().__init__(message, reason=reason, remedy=remedy)
        self.retry_after = retry_after
        self.lasting = lasting


class Overloaded(ClientError):
    """The worker has more work than it can do in time.

    `retry_after` is the wait in seconds that the worker asks for; None if it does not say, or asks for no retry.
    """

    usual_reason = "QUEUE_FULL"
    usual_remedy = "try again later, allow more time, or send fewer texts at a time"
    exit_code = 62

    def __init__(
        self, message: str, *, reason: str = "", remedy: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message, reason=reason, remedy=remedy)
        self.retry_after = retry_after


class DeadlineExceeded(ClientError):
    """No answer came within the time that was given."""

    usual_reason = "DEADLINE_EXCEEDED"
    usual_remedy = "allow more time (`timeout`), or send fewer texts at a time"
    exit_code = 63


class NotServed(ClientError):
    """The worker is well, but does not do what was asked."""

    usual_reason = "UNIMPLEMENTED"
    usual_remedy = "ask a worker that serves it; `qda-client models` lists what this one has"
    exit_code = 64


class Refused(ClientError):
    """Who stands before the worker does not let this caller in."""

    usual_reason = "PERMISSION_DENIED"
    usual_remedy = "use a certificate that this worker accepts"
    exit_code = 65


class CallCancelled(ClientError):
    """The call ended because it was cancelled."""

    usual_reason = "CANCELLED"
    usual_remedy = "keep the client open until its calls have ended"
    exit_code = 66
