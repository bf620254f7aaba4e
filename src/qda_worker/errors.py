"""The errors of the worker, as one tree: those of requests, and that of a model that does not load.

    WorkerError                      reason, status, message, remedy
    ├── InvalidRequest               INVALID_ARGUMENT
    │   ├── TextEmpty                TEXT_EMPTY
    │   ├── TextTooLong              TEXT_TOO_LONG
    │   ├── TextNotUtf8              TEXT_NOT_UTF8
    │   ├── TooManyTexts             TOO_MANY_TEXTS
    │   ├── EncodingMissing          ENCODING_MISSING
    │   ├── ModelUnknown             MODEL_UNKNOWN
    │   ├── ModelWrongTask           MODEL_WRONG_TASK
    │   └── ArgumentInvalid          ARGUMENT_INVALID
    ├── RequestTooLarge              RESOURCE_EXHAUSTED  REQUEST_TOO_LARGE
    ├── MethodUnknown                UNIMPLEMENTED  METHOD_UNKNOWN
    ├── Unauthenticated              UNAUTHENTICATED
    │   ├── TokenMissing             TOKEN_MISSING
    │   └── TokenUnknown             TOKEN_UNKNOWN
    ├── ClientNotAllowed             PERMISSION_DENIED  CLIENT_NOT_ALLOWED
    ├── TaskNotServed                FAILED_PRECONDITION  TASK_NOT_SERVED
    ├── Unavailable                  UNAVAILABLE
    │   ├── NotReady                 NOT_READY
    │   ├── Draining                 DRAINING
    │   └── StreamIdle               STREAM_IDLE
    ├── Overloaded                   RESOURCE_EXHAUSTED
    │   ├── QueueFull                QUEUE_FULL
    │   ├── TooManyCalls             TOO_MANY_CALLS
    │   ├── CallerLimited            CALLER_LIMIT
    │   └── DeadlineTooShort         DEADLINE_TOO_SHORT
    └── ModelFailed                  INTERNAL  MODEL_FAILED
        ├── BatchLost                its process ended during the computation and is started again
        └── ModelDied                permanent: its thread or process ended

    model_cache.errors.ModelCacheError
    └── ModelUnusable                MODEL_UNUSABLE (exit code 12): a model that does not load
        ├── LoadInterrupted          its process ended or hung while it loaded
        └── DeviceLost               its CUDA device failed in this process

`status` is the name of a gRPC status code as a string, because models and scheduling raise these errors without
importing gRPC. Each leaf has a usual remedy, which the code that raises it may replace by a more exact one. No
message contains a text of a request, because messages are logged.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Self

from model_cache.errors import ModelCacheError, with_remedy
from model_cache.reasons import Reason

# Delay in seconds for a retry where no better estimate exists: about one batch of long texts.
RETRY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Violation:
    """One invalid field of a request.

    Attributes:
        field: its path, for example `texts[17].id`.
        description: what is wrong with it.
    """

    field: str
    description: str


class WorkerError(Exception):
    """An error that a client receives as a status.

    Attributes:
        reason: for programs; documented in docs/calling.md.
        status: the name of the gRPC status code.
        usual_remedy: the remedy where no more exact one is given.
        message: what is wrong.
        remedy: what to do about it.
        violations: the fields at fault, if any.
    """

    reason: ClassVar[str]
    status: ClassVar[str]
    usual_remedy: ClassVar[str] = ""

    def __init__(
        self, message: str, remedy: str | None = None, *, violations: Sequence[Violation] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = self.usual_remedy if remedy is None else remedy
        self.violations = tuple(violations)

    def __str__(self) -> str:
        return f"{self.reason}: {with_remedy(self.message, self.remedy)}"

    def with_prefix(self, message_prefix: str, field_prefix: str = "") -> Self:
        """Return a copy whose message, and field paths if asked, begin with more context; all else is the same.

        Args:
            message_prefix: put before the message, with a colon between them.
            field_prefix: put before the path of each violation, with a full stop between them; empty: none.
        """
        prefixed = copy.copy(self)
        prefixed.message = f"{message_prefix}: {self.message}"
        prefixed.args = (prefixed.message,)
        if field_prefix:
            prefixed.violations = tuple(
                Violation(f"{field_prefix}.{violation.field}", violation.description)
                for violation in self.violations
            )
        return prefixed


class InvalidRequest(WorkerError):
    """The request, or one of its texts, is invalid."""

    status = "INVALID_ARGUMENT"


class TextEmpty(InvalidRequest):
    """A text without characters."""

    reason = "TEXT_EMPTY"
    usual_remedy = "leave the text out, or send at least one character"


class TextTooLong(InvalidRequest):
    """A text longer than the model reads, under the policy ERROR."""

    reason = "TEXT_TOO_LONG"
    usual_remedy = "split the text, or ask for the long-text policy CUT or WINDOW"


class TextNotUtf8(InvalidRequest):
    """Bytes that are not UTF-8 where text is expected."""

    reason = "TEXT_NOT_UTF8"
    usual_remedy = "send strings encoded as UTF-8"


class TooManyTexts(InvalidRequest):
    """More texts than one unary request may hold."""

    reason = "TOO_MANY_TEXTS"
    usual_remedy = "send the texts in several requests, or as a stream"


class EncodingMissing(InvalidRequest):
    """A request for spans that does not set the unit of their offsets."""

    reason = "ENCODING_MISSING"
    usual_remedy = (
        "set offset_encoding to the unit in which your language indexes strings: UTF8, UTF16 or CODE_POINT"
    )


class ModelUnknown(InvalidRequest):
    """A model key that is not in the catalog."""

    reason = "MODEL_UNKNOWN"
    usual_remedy = "call ListModels for the keys of all models"


class ModelWrongTask(InvalidRequest):
    """A model that cannot do this task."""

    reason = "MODEL_WRONG_TASK"
    usual_remedy = "leave the model key empty for the default of the task, or call ListModels"


class ArgumentInvalid(InvalidRequest):
    """Any other argument outside its range."""

    reason = "ARGUMENT_INVALID"
    usual_remedy = "see the field's comment in the proto for what is allowed"


class RequestTooLarge(WorkerError):
    """A request of more bytes than one message may have. Only HTTP raises it: gRPC refuses such a message itself."""

    reason = "REQUEST_TOO_LARGE"
    status = "RESOURCE_EXHAUSTED"
    usual_remedy = "send fewer or shorter texts at a time"


class MethodUnknown(WorkerError):
    """A path of the HTTP port that no method has."""

    reason = "METHOD_UNKNOWN"
    status = "UNIMPLEMENTED"
    usual_remedy = "a path is /package.Service/Method, as /qda.v1.ModelService/ListModels; see docs/http.md"


class Unauthenticated(WorkerError):
    """A call that does not prove who its caller is."""

    status = "UNAUTHENTICATED"


class TokenMissing(Unauthenticated):
    """A call without a bearer token to a worker that requires one."""

    reason = "TOKEN_MISSING"
    usual_remedy = (
        "send the metadata or header `authorization: Bearer TOKEN`, with a token from who runs this worker"
    )


class TokenUnknown(Unauthenticated):
    """A call with a token that the worker does not have, or no longer has."""

    reason = "TOKEN_UNKNOWN"
    usual_remedy = "ask who runs this worker for a valid token; it may have been replaced"


class ClientNotAllowed(WorkerError):
    """A client certificate with none of the names that the worker accepts."""

    reason = "CLIENT_NOT_ALLOWED"
    status = "PERMISSION_DENIED"
    usual_remedy = "use a certificate with an accepted name, or add its name to the worker's --allow-client"


class TaskNotServed(WorkerError):
    """A task for which this worker serves no model."""

    reason = "TASK_NOT_SERVED"
    status = "FAILED_PRECONDITION"
    usual_remedy = "add a model for this task to the catalog, or use another worker"


class Unavailable(WorkerError):
    """The worker cannot answer now; a retry may succeed, possibly at another worker."""

    status = "UNAVAILABLE"


class NotReady(Unavailable):
    """The cache is not complete yet, or the model is still loading.

    Attributes:
        permanent: whether waiting alone does not help, as with a model that does not load or an invalid catalog. The
            status then forbids gRPC's own retries.
    """

    reason = "NOT_READY"
    usual_remedy = "try again when the health service reports SERVING; GetCacheStatus lists what is missing"

    def __init__(
        self,
        message: str,
        remedy: str | None = None,
        *,
        violations: Sequence[Violation] = (),
        permanent: bool = False,
    ) -> None:
        super().__init__(message, remedy, violations=violations)
        self.permanent = permanent


class Draining(Unavailable):
    """The worker is shutting down and accepts no new work."""

    reason = "DRAINING"
    usual_remedy = "try again; another worker will accept it"


class StreamIdle(Unavailable):
    """A stream of requests that sent nothing for too long, and was ended to free its place for another call."""

    reason = "STREAM_IDLE"
    usual_remedy = (
        "call again when there is more to send; a client that resumes streams continues where it was"
    )


class Overloaded(WorkerError):
    """More work than can be done in time.

    Attributes:
        retry_after: seconds after which the same request may succeed.
    """

    status = "RESOURCE_EXHAUSTED"

    def __init__(
        self,
        message: str,
        remedy: str | None = None,
        *,
        violations: Sequence[Violation] = (),
        retry_after: float = RETRY_SECONDS,
    ) -> None:
        super().__init__(message, remedy, violations=violations)
        self.retry_after = retry_after


class QueueFull(Overloaded):
    """The model's queue has no room for these texts."""

    reason = "QUEUE_FULL"
    usual_remedy = "try again later with backoff, or send fewer texts at a time"


class TooManyCalls(Overloaded):
    """The limit of calls in progress is reached."""

    reason = "TOO_MANY_CALLS"
    usual_remedy = "try again with backoff, send more texts in fewer calls, or raise the worker's --max-calls"


class CallerLimited(Overloaded):
    """The limit of one caller is reached: calls in progress, or texts per second. Others are still served."""

    reason = "CALLER_LIMIT"
    usual_remedy = "wait as long as the error says, or ask who runs this worker for a higher limit"


class DeadlineTooShort(Overloaded):
    """The work cannot finish before its deadline."""

    reason = "DEADLINE_TOO_SHORT"
    usual_remedy = "allow more time, or send fewer texts at a time"


class ModelFailed(WorkerError):
    """The model raised an error for this text, or its thread or process died."""

    reason = "MODEL_FAILED"
    status = "INTERNAL"
    usual_remedy = "see the worker's log for the cause; if it happens again with this text alone, report it"


class BatchLost(ModelFailed):
    """The model's process ended while it computed a batch. It is started again, and the texts may be tried again.

    Attributes:
        from_outside: whether it was killed by another process or by the kernel, perhaps for another cause than a text.
    """

    def __init__(self, message: str, *, from_outside: bool = False) -> None:
        super().__init__(message)
        self.from_outside = from_outside


class ModelDied(ModelFailed):
    """The model's thread or process ended. The model cannot answer until the worker restarts."""

    usual_remedy = "send the text to another worker; this one needs a restart, see its log for the cause"


class ModelUnusable(ModelCacheError):
    """A model of the cache that does not load, or whose answers are not as expected."""

    reason = Reason.MODEL_UNUSABLE


class LoadInterrupted(ModelUnusable):
    """The process of a model ended or hung while it loaded. Another attempt may succeed with the same files."""


class DeviceLost(ModelUnusable):
    """The CUDA device that a model needs has failed in this process. Only a restart of the worker can help."""
