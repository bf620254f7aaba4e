"""The errors of the client, as one tree. A gRPC error never leaves the client; `grpc_errors` converts each of them.

    ClientError               exit   reason
    ├── InvalidSettings        2     USAGE               a setting of the client is wrong: a TLS file, a name, a number
    ├── InvalidRequest         2     the worker's own, ARGUMENT_INVALID, MODEL_UNKNOWN, TEXT_NOT_UTF8 … (`violations`)
    ├── ServerFailed           50    INTERNAL            the worker failed, or its response breaks the protocol
    ├── NotReachable           60    NOT_REACHABLE       no worker answers at the target, or the connection broke
    │   └── TlsFailed          67    TLS_FAILED          the TLS handshake failed
    ├── NotReady               61    NOT_READY, DRAINING the worker cannot answer yet, or is shutting down
    ├── Overloaded             62    QUEUE_FULL, DEADLINE_TOO_SHORT … (`retry_after`)
    ├── DeadlineExceeded       63    DEADLINE_EXCEEDED   no response before the deadline
    ├── NotServed              64    TASK_NOT_SERVED, UNIMPLEMENTED: this worker does not provide that
    ├── Refused                65    TOKEN_MISSING, TOKEN_UNKNOWN, CLIENT_NOT_ALLOWED …
    └── CallCancelled          66    CANCELLED           the client was closed, or the worker cancelled each attempt

The exit codes are those of `qda-client`. A problem of one text is not raised: it is the `error` of that text's result
(`qda_worker.client.results.ItemError`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from qda_worker.client.results import Answer


@dataclass(frozen=True, slots=True)
class Violation:
    """An invalid field of the request.

    Attributes:
        field: its path, `texts[17].content` for instance.
        description: why it is invalid.
    """

    field: str
    description: str


class ClientError(Exception):
    """A call that failed.

    Attributes:
        reason: one word, such as `QUEUE_FULL`.
        message: what happened, as a sentence.
        remedy: what to do about it.
        partial: for a list that was sent in several requests: the results before the request that failed, or None if
            there are none. The rest is `texts[len(error.partial):]`.
        connection_lost: whether the worker had taken the call and then ended it or its connection, as it does when it
            stops; another attempt reaches another worker, or the next one at this address.
    """

    usual_reason: ClassVar[str] = "INTERNAL"
    usual_remedy: ClassVar[str] = ""
    exit_code: ClassVar[int] = 50

    def __init__(self, message: str, *, reason: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.partial: Answer[Any] | None = None
        self.connection_lost = False
        self.message = message
        self.reason = reason or self.usual_reason
        self.remedy = remedy or self.usual_remedy

    def __str__(self) -> str:
        """Return `REASON: message. Remedy: remedy`."""
        stop = "" if self.message.endswith((".", "!", "?")) else "."
        return f"{self.reason}: {self.message}{stop} Remedy: {self.remedy}"

    def fields(self) -> dict[str, str]:
        """Return reason, message and remedy, as in the JSON output of `qda-client`."""
        return {"reason": self.reason, "message": self.message, "remedy": self.remedy}


class InvalidSettings(ClientError):
    """A setting of the client is invalid."""

    usual_reason = "USAGE"
    usual_remedy = "correct this setting"
    exit_code = 2


class InvalidRequest(ClientError):
    """The request is invalid; detected by the client before sending, or by the worker.

    Attributes:
        violations: the invalid fields, if they are known.
    """

    usual_reason = "ARGUMENT_INVALID"
    usual_remedy = "correct the request; the comments in the proto define what each field may contain"
    exit_code = 2

    def __init__(
        self, message: str, *, reason: str = "", remedy: str = "", violations: Sequence[Violation] = ()
    ) -> None:
        super().__init__(message, reason=reason, remedy=remedy)
        self.violations = tuple(violations)


class ServerFailed(ClientError):
    """The worker failed to process the whole call, or its response breaks the protocol."""

    usual_remedy = "read the worker's log; if the same request fails again, report it"


class NotReachable(ClientError):
    """No worker answers at the target, or the connection broke and retries did not help.

    Attributes:
        target: the address that was called.
    """

    usual_reason = "NOT_REACHABLE"
    usual_remedy = (
        "start the worker (`qda-worker serve`), wait for it (`qda-client health --wait 5m`, `wait_ready`), or give its "
        "address as HOST:PORT"
    )
    exit_code = 60

    def __init__(self, message: str, *, target: str, remedy: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.target = target


class TlsFailed(NotReachable):
    """The TLS handshake failed: a certificate is not trusted, or only one side uses TLS."""

    usual_reason = "TLS_FAILED"
    usual_remedy = "compare the client's TLS files with the worker's"
    exit_code = 67


class NotReady(ClientError):
    """The worker cannot answer yet, or is shutting down.

    Attributes:
        retry_after: seconds to wait before a retry, as the worker requests; None if it does not.
        lasting: whether the worker reports that waiting does not help: a model fails to load, the catalog is invalid.
    """

    usual_reason = "NOT_READY"
    usual_remedy = "wait until the worker is ready (`wait_ready`); `qda-client cache` shows what is missing"
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
    """The worker has more work than it can finish in time.

    Attributes:
        retry_after: seconds to wait before a retry, as the worker requests; None if it does not, or forbids retries.
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
    """No response arrived before the deadline."""

    usual_reason = "DEADLINE_EXCEEDED"
    usual_remedy = "allow more time (`timeout`), or send fewer texts at a time"
    exit_code = 63


class NotServed(ClientError):
    """The worker does not provide what was requested."""

    usual_reason = "UNIMPLEMENTED"
    usual_remedy = "call a worker that serves it; `qda-client models` lists the models of this one"
    exit_code = 64


class Refused(ClientError):
    """Authentication or authorization failed."""

    usual_reason = "PERMISSION_DENIED"
    usual_remedy = "use a certificate that this worker accepts"
    exit_code = 65


class CallCancelled(ClientError):
    """The call was cancelled."""

    usual_reason = "CANCELLED"
    usual_remedy = "keep the client open until its calls have ended"
    exit_code = 66
