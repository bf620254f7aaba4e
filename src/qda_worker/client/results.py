"""What comes back, as frozen plain Python values. Nothing here knows protobuf or gRPC.

Every result of one text has `error`: None, or why this text has no answer while its neighbours have. Then `ok` is
False and the other fields are empty.

What a search for paraphrases brings back, as frozen plain Python values.

The analysis of a stream of documents: what can be asked for, and what comes back for each.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar, overload

from qda_worker.client.enums import (
    EmbeddingKind,
    LabelScheme,
    LimitUnit,
    LongTextOutcome,
    Numbers,
    Offsets,
    SentimentLabel,
)

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

# Single-precision numbers: a numpy array if numpy is installed, else an `array.array("f")`. Both have a
# length, an index and an order, and both are buffers: `memoryview(vector)` and `numpy.asarray(vector)` copy
# nothing.
Vector: TypeAlias = "NDArray[numpy.float32] | array[float]"

# Rows of equal length: a two-dimensional numpy array, or a tuple of `array.array("f")`.
Matrix: TypeAlias = "NDArray[numpy.float32] | tuple[array[float], ...]"

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why one text was not answered: a reason such as TEXT_EMPTY, TEXT_TOO_LONG or MODEL_FAILED, and a sentence."""

    reason: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a text the model has read.

    Attributes:
        outcome: what was done about the text's length.
        tokens: tokens of the whole text, after the model's own cleaning.
        used_tokens: tokens that the answer rests on.
        limit: the model's limit, in `limit_unit`.
        windows: number of windows; 1 unless the text was windowed.
        characters: code points of the text as sent.
    """

    outcome: LongTextOutcome
    tokens: int
    used_tokens: int
    limit: int
    limit_unit: LimitUnit
    windows: int
    characters: int


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a result, precisely enough to make it again: model, its source and revision, number format, worker."""

    model: str
    source: str
    revision: str
    precision: str
    worker_version: str
    model_digest: str
    generation: str


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time went, in seconds. Of several requests: the longest wait, and the sums of the rest."""

    queue: float = 0.0
    tokenize: float = 0.0
    compute: float = 0.0
    total: float = 0.0

    def joined(self, other: "Timings") -> "Timings":
        """Those of two requests together."""
        return Timings(
            queue=max(self.queue, other.queue),
            tokenize=self.tokenize + other.tokenize,
            compute=self.compute + other.compute,
            total=self.total + other.total,
        )


@dataclass(frozen=True, slots=True)
class Answer(Sequence[R], Generic[R]):
    """One result for each text, in their order; it is used as a list of them.

    Attributes:
        results: as many as there were texts.
        provenances: the models that answered; more than one only if the workers were exchanged in the midst of a
            long list.
        timings: of all requests together.
    """

    results: tuple[R, ...]
    provenances: tuple[Provenance, ...]
    timings: Timings

    @property
    def provenance(self) -> Provenance:
        """The model that answered (the first, where `provenances` has several)."""
        return self.provenances[0]

    def __len__(self) -> int:
        return len(self.results)

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[R]: ...
    def __getitem__(self, index: int | slice) -> R | Sequence[R]:
        return self.results[index]

    def __iter__(self) -> Iterator[R]:
        return iter(self.results)


@dataclass(frozen=True, slots=True)
class Probabilities:
    """The model's probabilities, from 0 to 1; together 1."""

    positive: float
    negative: float
    neutral: float


@dataclass(frozen=True, slots=True)
class Sentence:
    """The sentiment of one sentence, which stands at `start` to `end` of its text, and how much of it was used.

    `usage` is None only from a worker that does not tell it.
    """

    start: int
    end: int
    label: SentimentLabel
    probabilities: Probabilities
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Sentiment:
    """The sentiment of one text. `label` and `probabilities` are None only where `error` is not."""

    id: str
    error: ItemError | None
    label: SentimentLabel | None
    probabilities: Probabilities | None
    usage: Usage | None
    sentences: tuple[Sentence, ...] = ()
    offsets: Offsets | None = None

    @property
    def ok(self) -> bool:
        """Whether this text was answered."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Entity:
    """One name in a text: its words, its kind, the kind in the model's own words, and where it stands."""

    text: str
    label: str
    model_label: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Entities:
    """The entities of one text by their place, which is counted in `offsets`."""

    id: str
    error: ItemError | None
    entities: tuple[Entity, ...]
    usage: Usage | None
    offsets: Offsets | None

    @property
    def ok(self) -> bool:
        """Whether this text was answered."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Weights of a text's tokens by falling weight; `token_ids`, `weights` and `tokens` have equal lengths."""

    token_ids: tuple[int, ...]
    weights: tuple[float, ...]
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)  # arrays do not compare to one truth value
class Embedding:
    """The vectors of one text; those that were not asked for are None.

    Attributes:
        dense: shape [dimensions].
        sparse: token weights.
        multi_vector: shape [tokens, dimensions].
    """

    id: str
    error: ItemError | None
    usage: Usage | None
    dense: "Vector | None" = None
    sparse: SparseVector | None = None
    multi_vector: "Matrix | None" = None

    @property
    def ok(self) -> bool:
        """Whether this text was answered."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class PairScore:
    """How alike the two texts of a pair are: the cosine of their vectors, -1 to 1; None where `error` is not."""

    id: str
    error: ItemError | None
    score: float | None
    first_usage: Usage | None
    second_usage: Usage | None

    @property
    def ok(self) -> bool:
        """Whether this pair was scored."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Paraphrase:
    """Two like texts.

    Attributes:
        first: position of one text within `texts`, from 0.
        second: position of the other, within `others` if they were given, else within `texts`.
        score: the cosine of their vectors, -1 to 1.
    """

    first: int
    second: int
    score: float


@dataclass(frozen=True, slots=True)
class TextProblem:
    """A text that takes no part: whether it is one of `others`, its position there, its id, and why."""

    in_others: bool
    index: int
    id: str
    error: ItemError


@dataclass(frozen=True, slots=True)
class Paraphrases:
    """The pairs, by the first text's position, then by falling score, then by the second text's position.

    Attributes:
        pairs: what was found.
        problems: texts that could not be used; all others were.
        provenance: the model that answered.
        encoded_texts: distinct texts that were encoded.
        cut_texts: texts of which only the beginning was used.
        windowed_texts: texts that were used in windows.
        timings: where the time went.
    """

    pairs: tuple[Paraphrase, ...]
    problems: tuple[TextProblem, ...]
    provenance: Provenance
    encoded_texts: int
    cut_texts: int
    windowed_texts: int
    timings: Timings


@dataclass(frozen=True, slots=True)
class SentimentTask:
    """Asks for each document's sentiment, and that of its sentences if `sentences`."""

    model: str = ""
    sentences: bool = False


@dataclass(frozen=True, slots=True)
class EntityTask:
    """Asks for each document's entities; of `labels` only, if any are named."""

    model: str = ""
    label_scheme: LabelScheme = LabelScheme.MODEL
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EmbeddingTask:
    """Asks for each document's vectors; may be given up to 8 times, for several models."""

    model: str = ""
    kinds: tuple[EmbeddingKind, ...] = (EmbeddingKind.DENSE,)
    normalize: bool | None = None
    dimensions: int = 0
    numbers: Numbers = Numbers.FLOAT32


AnalysisTask: TypeAlias = SentimentTask | EntityTask | EmbeddingTask


@dataclass(frozen=True, slots=True)
class AnalysisProvenance:
    """The models that answer a stream: None, or empty, for what was not asked for."""

    sentiment: Provenance | None
    entities: Provenance | None
    embeddings: tuple[Provenance, ...]


@dataclass(frozen=True, slots=True, eq=False)  # holds vectors
class DocumentAnalysis:
    """The analysis of one document; what was not asked for is None, or empty.

    Attributes:
        index: position of the document among those that were sent, from 0.
        error: why the whole document was not analysed. Each task has an error of its own beside it.
    """

    index: int
    id: str
    error: ItemError | None
    sentiment: Sentiment | None
    entities: Entities | None
    embeddings: tuple[Embedding, ...]
    provenance: AnalysisProvenance
    timings: Timings

    @property
    def ok(self) -> bool:
        """Whether all that was asked for was answered."""
        parts = [self.sentiment, self.entities, *self.embeddings]
        return self.error is None and all(part is None or part.ok for part in parts)
