"""What can go wrong when the worker answers, as one small tree.

    WorkerError                      reason, status, message, remedy
    ├── InvalidRequest               INVALID_ARGUMENT
    │   ├── TextEmpty                TEXT_EMPTY
    │   ├── TextTooLong              TEXT_TOO_LONG
    │   ├── TextNotUtf8              TEXT_NOT_UTF8
    │   ├── TooManyTexts             TOO_MANY_TEXTS
    │   ├── EncodingMissing          ENCODING_MISSING
    │   ├── ModelUnknown             MODEL_UNKNOWN
    │   ├── ModelOfAnotherTask       MODEL_WRONG_TASK
    │   └── ArgumentInvalid          ARGUMENT_INVALID
    ├── TaskNotServed                FAILED_PRECONDITION  TASK_NOT_SERVED
    ├── Unavailable                  UNAVAILABLE
    │   ├── NotReady                 NOT_READY
    │   └── Draining                 DRAINING
    ├── Overloaded                   RESOURCE_EXHAUSTED
    │   ├── QueueFull                QUEUE_FULL
    │   ├── TooManyCalls             TOO_MANY_CALLS
    │   └── DeadlineTooShort         DEADLINE_TOO_SHORT
    └── ModelFailed                  INTERNAL  MODEL_FAILED
        └── ModelDied                for good: its thread or process ended

    model_cache.errors.ModelCacheError
    └── ModelUnusable                MODEL_UNUSABLE (exit code 12): a model that does not load

`status` is the name of a gRPC status code, as a string: models and scheduling raise these errors and know nothing
of gRPC.
Each leaf has a usual remedy, which who raises it may replace by a more exact one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from model_cache.errors import ModelCacheError, with_remedy
from model_cache.reasons import Reason

# How long a refused client should wait where nobody knows better: about one micro-batch of long texts.
RETRY_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Violation:
    """One field of a request that is not as it should be: its path, `texts[17].id` for instance, and why."""

    field: str
    description: str


class WorkerError(Exception):
    """An answer that is a refusal: its reason, gRPC status name, message and remedy. Never holds the text itself.

    `violations` name the fields at fault, where fields are.
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


class InvalidRequest(WorkerError):
    """The request, or one of its texts, cannot be answered as it is."""

    status = "INVALID_ARGUMENT"


class TextEmpty(InvalidRequest):
    """A text of no characters."""

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
    """Spans were asked for, but not in which unit their offsets count."""

    reason = "ENCODING_MISSING"
    usual_remedy = "say UTF8, UTF16 or CODE_POINT, whichever your language's strings are indexed by"


class ModelUnknown(InvalidRequest):
    """A model key that the catalog does not have."""

    reason = "MODEL_UNKNOWN"
    usual_remedy = "ask ListModels for the keys that are served"


class ModelOfAnotherTask(InvalidRequest):
    """A model that is served, but for another task."""

    reason = "MODEL_WRONG_TASK"
    usual_remedy = "leave the model key empty for the task's default, or ask ListModels"


class ArgumentInvalid(InvalidRequest):
    """Any other argument outside its range."""

    reason = "ARGUMENT_INVALID"
    usual_remedy = "see the field's comment in the proto for what is allowed"


class TaskNotServed(WorkerError):
    """No model of this task is in the catalog that this worker serves."""

    reason = "TASK_NOT_SERVED"
    status = "FAILED_PRECONDITION"
    usual_remedy = "add a model of this task to the catalog, or ask another worker"


class Unavailable(WorkerError):
    """Not now; trying again helps."""

    status = "UNAVAILABLE"


class NotReady(Unavailable):
    """The cache is not complete yet, or the model is still loading.

    `lasting`: waiting alone does not help: a model that does not load, a catalog that is invalid. gRPC's own retries
    are told so.
    """

    reason = "NOT_READY"
    usual_remedy = "try again when the health service says SERVING; GetCacheStatus says what is missing"

    def __init__(
        self,
        message: str,
        remedy: str | None = None,
        *,
        violations: Sequence[Violation] = (),
        lasting: bool = False,
    ) -> None:
        super().__init__(message, remedy, violations=violations)
        self.lasting = lasting


class Draining(Unavailable):
    """This worker is about to end and takes no new work."""

    reason = "DRAINING"
    usual_remedy = "try again: another worker takes it"


class Overloaded(WorkerError):
    """More work than can be done in time. `retry_after`: seconds after which the same request may succeed."""

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
    """As many calls are under way as this worker takes."""

    reason = "TOO_MANY_CALLS"
    usual_remedy = "try again with backoff, send more texts in fewer calls, or raise the worker's --max-calls"


class DeadlineTooShort(Overloaded):
    """The work cannot finish before its deadline."""

    reason = "DEADLINE_TOO_SHORT"
    usual_remedy = "allow more time, or send fewer texts at a time"


class ModelFailed(WorkerError):
    """The model raised an error over this text, or its thread or process died."""

    reason = "MODEL_FAILED"
    status = "INTERNAL"
    usual_remedy = (
        "look for the reason in the worker's log; if it happens again with this text alone, report it"
    )


class ModelDied(ModelFailed):
    """The model's thread or process ended; it answers nothing more until the worker restarts."""

    usual_remedy = "send the text to another worker; this one needs a restart, and its log says why"


class ModelUnusable(ModelCacheError):
    """A model of the cache that does not load, or answers otherwise than it should."""

    reason = Reason.MODEL_UNUSABLE
