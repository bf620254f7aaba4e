"""What every model looks like to the scheduler and the services.

The cut is the same for all: `prepare` (any thread) cleans and tokenises one text into units, `compute` (the model's own
thread, one padded batch) turns units into raw outputs, `finish` joins a text's outputs into its answer. So the queue
orders and batches units without knowing what a model is, and no model knows what a queue is.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar

from model_cache.catalog.catalog import Model, Precision, Task
from qda_worker.errors import TextEmpty

Payload = TypeVar("Payload")
Output = TypeVar("Output")
Result_co = TypeVar("Result_co", covariant=True)


class LongText(Enum):
    """What to do with a text that is longer than the model reads."""

    ERROR = "error"
    CUT = "cut"
    WINDOW = "window"


class LengthUnit(Enum):
    """What a model's limit and its lengths count."""

    TOKENS = "tokens"
    CHARACTERS = "characters"


class VectorKind(Enum):
    """A form of vector that a model gives."""

    DENSE = "dense"
    SPARSE = "sparse"
    MULTI_VECTOR = "multi-vector"


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may choose for a text. The defaults do what the plain libraries do."""

    long_text: LongText = LongText.CUT


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model is, for ListModels and for the provenance in each answer.

    max_length: the longest text it reads at once, in `length_unit`, special tokens included.
    dimension: length of its vectors; None where it makes none.
    labels: the labels it can give, sorted; empty where it gives none.
    vector_kinds: the kinds of vectors that it gives; empty where it gives none.
    multi_dimension: length of its multi-vectors' rows; None where it gives none.
    shortened_dimensions: lengths to which its dense vectors may be cut, falling; mostly none.
    longest_token: bytes of the longest token of its vocabulary in UTF-8; 0 where tokens are not told.
    """

    key: str
    task: Task
    source: str
    revision: str
    precision: Precision
    licence: str | None
    max_length: int
    length_unit: LengthUnit = LengthUnit.TOKENS
    dimension: int | None = None
    labels: tuple[str, ...] = ()
    vector_kinds: tuple[VectorKind, ...] = ()
    multi_dimension: int | None = None
    shortened_dimensions: tuple[int, ...] = ()
    longest_token: int = 0


def describe(
    model: Model,
    *,
    max_length: int,
    length_unit: LengthUnit = LengthUnit.TOKENS,
    dimension: int | None = None,
    labels: Sequence[str] = (),
    vector_kinds: Sequence[VectorKind] = (),
    multi_dimension: int | None = None,
    shortened_dimensions: Sequence[int] = (),
    longest_token: int = 0,
) -> ModelInfo:
    """The info of a catalog's model, completed by what only the loaded model knows."""
    return ModelInfo(
        key=model.key,
        task=model.task,
        source=model.source_name,
        revision=model.revision,
        precision=model.serving.precision,
        licence=model.licence,
        max_length=max_length,
        length_unit=length_unit,
        dimension=dimension,
        labels=tuple(sorted(labels)),
        vector_kinds=tuple(vector_kinds),
        multi_dimension=multi_dimension,
        shortened_dimensions=tuple(sorted(shortened_dimensions, reverse=True)),
        longest_token=longest_token,
    )


@dataclass(frozen=True, slots=True)
class BatchBudget:
    """How much one batch may hold.

    length: the sum of the units' lengths; if `padded`, the longest length times the number of units.
    units: the most units, however short. A single unit beyond the budget is a batch of its own.
    """

    length: int
    units: int
    padded: bool = True


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a text: from `start` up to but not including `end`, in tokens or code points."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """How many tokens or code points."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Unit(Generic[Payload]):
    """One row of a batch: one window of one text. `length` as the model's budget counts it."""

    payload: Payload
    length: int


@dataclass(frozen=True, slots=True)
class Prepared(Generic[Payload]):
    """A text made ready for its model.

    units: one for each of `windows`, in the order of the text.
    windows: what each unit covers of the text's content: tokens without the special ones, or code points.
    length: the whole text's, in the model's length unit, special tokens included.
    used_length: how much of it the model reads, counted once however windows overlap.
    """

    units: tuple[Unit[Payload], ...]
    windows: tuple[Span, ...]
    length: int
    used_length: int

    @property
    def cut(self) -> bool:
        """Whether the model reads less than the whole text."""
        return self.used_length < self.length

    @property
    def windowed(self) -> bool:
        """Whether the answer is joined from several windows."""
        return len(self.windows) > 1


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a text an answer rests on: nothing is cut in silence.

    token_count: tokens of the whole text as the model reads it, special tokens included.
    used_token_count: those that were read, each once however windows overlap.
    window_count: 1 unless the text was read in windows.
    """

    token_count: int
    used_token_count: int
    cut: bool
    window_count: int


@dataclass(frozen=True, slots=True)
class Finished(Generic[Result_co]):
    """The answer to one text, and how much of the text it rests on."""

    answer: Result_co
    usage: Usage


def usage_in_tokens(prepared: Prepared[Payload]) -> Usage:
    """The usage of a text whose model counts lengths in tokens."""
    return Usage(prepared.length, prepared.used_length, prepared.cut, len(prepared.windows))


class TextModel(Protocol[Payload, Output, Result_co]):
    """A loaded model. `prepare` and `finish` may be called by any thread, `compute` by one thread only."""

    @property
    def info(self) -> ModelInfo:
        """What the model is."""

    @property
    def budget(self) -> BatchBudget:
        """How large a batch suits it on its device."""

    @property
    def failure(self) -> str | None:
        """Why it can answer nothing any more; None while it can."""

    def watch(self, on_failure: Callable[[str], None]) -> None:
        """Has `on_failure` called once, from another thread, when the model dies by itself."""

    def prepare(self, text: str, options: Options) -> Prepared[Payload]:
        """Cleans and tokenises one text. Raises TextEmpty, or TextTooLong under the policy ERROR."""

    def compute(self, units: Sequence[Unit[Payload]]) -> list[Output]:
        """One raw output a unit, in their order. Raises ModelDied when nothing more can be computed."""

    def finish(
        self, text: str, prepared: Prepared[Payload], outputs: Sequence[Output]
    ) -> Finished[Result_co]:
        """Joins the outputs of a text's units into its answer."""

    def close(self) -> None:
        """Lets go of processes and memory; a second call does nothing."""


class InProcess:
    """For models that live in this process: they do not die by themselves, and end with it."""

    __slots__ = ()

    @property
    def failure(self) -> str | None:
        """None: a model in this process fails one batch at a time, by an exception."""
        return None

    def watch(self, on_failure: Callable[[str], None]) -> None:
        """Never calls back."""

    def close(self) -> None:
        """Nothing to let go of."""


def require_characters(text: str) -> None:
    """Raises TextEmpty for a text of no characters; one that cleaning empties later is the model's to answer."""
    if not text:
        raise TextEmpty("the text has no characters")
