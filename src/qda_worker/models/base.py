"""The interface between the models, the scheduler and the services.

Every model splits its work in the same three steps, so that the queue orders and batches without knowing what a model
is, and no model knows that there is a queue:

1. `prepare_steps` (any thread) cleans and tokenizes one text and cuts it into units, one unit per window. A long text
   takes many short steps, so that others pass in between; `prepare` takes all at once.
2. `compute` (the model's own compute thread only) turns one batch of units into one raw output per unit. A batch may
   hold units of many texts and callers.
3. `finish` (any thread) combines the outputs of one text's units into its result.

The types here are plain values: this module imports neither torch nor numpy, so the services and the tests can use it
without loading a model library.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from types import MappingProxyType
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from model_cache.catalog.catalog import Model, Precision, Task
from qda_worker.errors import TextEmpty
from qda_worker.models.batch_budget import LONG_TOKENS, PADDING_IN_ATTENTION, BatchBudget
from qda_worker.models.spacy_components import SyntaxLayer
from qda_worker.sentences.span import Span

# Puts engines into a loaded network, and returns what it has put there.
InstallEngine: TypeAlias = Callable[[Any], "InstalledEngines"]

Payload = TypeVar("Payload")
Output = TypeVar("Output")
Result_co = TypeVar("Result_co", covariant=True)


class LongText(Enum):
    """The policy for a text that is longer than the model's maximum input."""

    ERROR = "error"
    CUT = "cut"
    WINDOW = "window"


class LengthUnit(Enum):
    """The unit of a model's maximum input length and of all lengths it reports."""

    TOKENS = "tokens"
    CHARACTERS = "characters"


class VectorKind(Enum):
    """A kind of vector that an embedding model may produce."""

    DENSE = "dense"
    SPARSE = "sparse"
    MULTI_VECTOR = "multi-vector"


@dataclass(frozen=True, slots=True)
class Options:
    """Options of a caller for one text. The defaults match the plain libraries.

    Attributes:
        long_text: policy for a text that exceeds the model's maximum input.
    """

    long_text: LongText = LongText.CUT


@dataclass(frozen=True, slots=True)
class EngineTiming:
    """The least time that an engine took for one pass through the encoder layers when it was measured at start.

    Attributes:
        engine: its name.
        texts: number of texts of the batch.
        tokens: length of each text.
        seconds: the time.
    """

    engine: str
    texts: int
    tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class InstalledEngines:
    """The engines that compute a network, and what was measured when they were chosen.

    Attributes:
        names: for one short text and for batches, if they differ; else one name.
        timings: of the engines that were compared, the chosen ones included; empty if nothing was measured.
        batch_tokens: tokens of a batch, at which they are fastest; None if this was not measured.
        unavailable: why an engine was left out; empty if none was.
        device: torch's name of the device that has the network.
    """

    names: tuple[str, ...] = ("torch",)
    timings: tuple[EngineTiming, ...] = ()
    batch_tokens: int | None = None
    unavailable: str = ""
    device: str = "cpu"

    def budget(self, default: BatchBudget) -> BatchBudget:
        """Return the budget of a network that they compute; `default` is that of torch on a CPU."""
        budget = default.with_length(self.batch_tokens)
        if self.device != "cpu":
            # Nothing is measured on devices, which need large batches to be busy.
            return replace(budget, overhead=default.overhead * budget.length // default.length)
        if self.names[-1] == "openvino":
            budget = replace(budget, padding=PADDING_IN_ATTENTION, padded_beyond=LONG_TOKENS)
        return replace(budget, coarse_pauses="openvino" in self.names)  # it pauses between its graphs only


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Static facts about a loaded model, for ListModels and for the provenance in each response.

    Attributes:
        max_length: longest input of one pass, in `length_unit`, special tokens included.
        dimension: length of the dense vectors; None if the model produces none.
        labels: labels that the model can assign, sorted; empty if it assigns none.
        vector_kinds: kinds of vectors that the model produces; empty if it produces none.
        multi_dimension: row length of the multi-vectors; None if the model produces none.
        shortened_dimensions: lengths to which dense vectors may be truncated, descending; usually empty.
        max_token_bytes: UTF-8 bytes of the longest token of the vocabulary; 0 if tokens are never returned.
        engines: what computes the encoder; None if it has none.
        components: names of the components of a spaCy pipeline, in their order; empty for other models.
        syntax_layers: the layers that a spaCy pipeline assigns, each with the components that it needs.
        prompts: texts to put before each text, by name; empty for models without vectors.
        default_prompt: name of the prompt for callers who name none; None: no prompt.
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
    max_token_bytes: int = 0
    engines: InstalledEngines | None = None
    components: tuple[str, ...] = ()
    syntax_layers: Mapping[SyntaxLayer, tuple[str, ...]] = field(default_factory=dict)
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt: str | None = None

    def components_for(self, layers: Iterable[SyntaxLayer]) -> tuple[str, ...]:
        """Return the components that have to run for some layers of a spaCy pipeline, in their order."""
        needed = {name for layer in layers for name in self.syntax_layers[layer]}
        return tuple(name for name in self.components if name in needed)


def model_info(
    model: Model,
    *,
    max_length: int,
    length_unit: LengthUnit = LengthUnit.TOKENS,
    dimension: int | None = None,
    labels: Sequence[str] = (),
    vector_kinds: Sequence[VectorKind] = (),
    multi_dimension: int | None = None,
    shortened_dimensions: Sequence[int] = (),
    max_token_bytes: int = 0,
    engines: InstalledEngines | None = None,
    components: Sequence[str] = (),
    syntax_layers: Mapping[SyntaxLayer, tuple[str, ...]] = MappingProxyType({}),
    prompts: Mapping[str, str] = MappingProxyType({}),
    default_prompt: str | None = None,
) -> ModelInfo:
    """Return the info of a catalog model, completed with what only the loaded model knows."""
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
        max_token_bytes=max_token_bytes,
        engines=engines,
        components=tuple(components),
        syntax_layers=syntax_layers,
        prompts=prompts,
        default_prompt=default_prompt,
    )


@dataclass(frozen=True, slots=True)
class Unit(Generic[Payload]):
    """One row of a batch, which is one window of one text.

    Attributes:
        payload: what the model's `compute` reads, such as token ids.
        length: size of the unit, counted as in the model's `BatchBudget`.
    """

    payload: Payload
    length: int


@dataclass(frozen=True, slots=True)
class PreparedText(Generic[Payload]):
    """A text that is ready to be computed.

    Attributes:
        units: one for each of `windows`, in text order; some models append units of other kinds.
        windows: the part of the text's content that each unit covers, in tokens without the special ones, or in code
            points.
        length: length of the whole text in the model's length unit, special tokens included.
        used_length: length of the part that the model reads; overlapping windows are counted once.
        counted: whether `length` is final. The units may be computed before the rest of a text is counted.
    """

    units: tuple[Unit[Payload], ...]
    windows: tuple[Span, ...]
    length: int
    used_length: int
    counted: bool = True

    @property
    def cut(self) -> bool:
        """Whether the model reads less than the whole text."""
        return self.used_length < self.length

    @property
    def windowed(self) -> bool:
        """Whether the result is combined from several windows."""
        return len(self.windows) > 1


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a text its result is based on. Every truncation is reported here.

    Attributes:
        token_count: tokens of the whole text as the model reads it, special tokens included.
        used_token_count: tokens that were read; overlapping windows are counted once.
        cut: whether tokens were left out.
        window_count: 1 unless the text was read in windows.
    """

    token_count: int
    used_token_count: int
    cut: bool
    window_count: int


@dataclass(frozen=True, slots=True)
class TextResult(Generic[Result_co]):
    """The result for one text, and how much of the text it is based on."""

    answer: Result_co
    usage: Usage


def keep_torch(_network: Any) -> InstalledEngines:
    """Leave a network as it is: an `InstallEngine`."""
    return InstalledEngines()


def usage_in_tokens(prepared: PreparedText[Payload], prompt_length: int = 0) -> Usage:
    """Return the usage of a text whose model measures lengths in tokens, without those of a prompt before it."""
    length, used_length = prepared.length - prompt_length, prepared.used_length - prompt_length
    return Usage(length, used_length, prepared.cut, len(prepared.windows))


def run_steps(steps: Iterator[PreparedText[Payload] | None]) -> PreparedText[Payload]:
    """Take all steps of `prepare_steps` and return the last PreparedText."""
    prepared = None
    for step in steps:
        prepared = step or prepared
    if prepared is None:
        raise ValueError("the steps ended without a prepared text")
    return prepared


class TextModel(Protocol[Payload, Output, Result_co]):
    """A loaded model.

    Any thread may call `prepare_steps`, `prepare`, `finish` and `watch`. Only one thread at a time may call `compute`.
    """

    @property
    def info(self) -> ModelInfo:
        """Static facts about the model."""

    @property
    def budget(self) -> BatchBudget:
        """Batch size that suits the model on its device."""

    @property
    def failure(self) -> str | None:
        """Reason why the model cannot compute any more; None while it can."""

    @property
    def away_seconds(self) -> float:
        """For how long the model has been unable to compute, while it is being restored; 0 while it can."""

    def abort(self, seconds: float) -> bool:
        """End a computation that has been running for at least so many seconds; `compute` then raises BatchLost.

        Returns:
            False if this model cannot end a computation.
        """

    def watch(self, on_failure: Callable[[str], None]) -> None:
        """Register a callback for the death of the model.

        Args:
            on_failure: called once with the reason, from another thread, if the model dies outside `compute`.
        """

    def prepare_steps(self, text: str, options: Options) -> Iterator[PreparedText[Payload] | None]:
        """Clean and tokenize one text in steps, each of which takes about a hundredth of a second.

        Yields:
            None after a step with more to do. The prepared text once it is known, as the last item. It may be yielded
            before that too, with `counted` False, when all its units are known; they stay the same.

        Raises:
            TextEmpty: when the text has no characters.
            TextTooLong: when the text exceeds the model's maximum input under the policy ERROR.
        """

    def prepare(self, text: str, options: Options) -> PreparedText[Payload]:
        """Take all steps of `prepare_steps` at once, and raise what they raise."""

    def compute(self, units: Sequence[Unit[Payload]]) -> list[Output]:
        """Return one raw output per unit, in the same order.

        A model that computes for long calls `pauses.pause_point` now and then. It may be called again from there.

        Raises:
            BatchLost: when the model lost this batch, but can compute again.
            ModelDied: when this model cannot compute any more.
        """

    def finish(
        self, text: str, prepared: PreparedText[Payload], outputs: Sequence[Output]
    ) -> TextResult[Result_co]:
        """Combine the outputs of a text's units into the result of the text."""

    def close(self) -> None:
        """Release processes and memory. A second call does nothing."""


def require_non_empty(text: str) -> None:
    """Refuse a text without characters.

    A text that only becomes empty by cleaning is not refused: it is a valid input of the model.

    Raises:
        TextEmpty: when `text` is the empty string.
    """
    if not text:
        raise TextEmpty("the text has no characters")
