"""The results of all calls, as frozen values without protobuf and gRPC (see `from_proto`).

The `error` of a text is None, or why it has no result; then `ok` is False and the other fields are empty.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar, overload

from qda_worker.client.enums import LimitUnit, LongTextOutcome, Offsets, SentimentLabel, SyntaxLayer
from qda_worker.client.tokens import Token, TokenRange

if TYPE_CHECKING:
    import numpy
    from numpy.typing import NDArray

# Single-precision numbers: a numpy array if numpy is installed, else an `array.array("f")`. Both are sequences
# and both support the buffer protocol: `memoryview(vector)` and `numpy.asarray(vector)` do not copy.
Vector: TypeAlias = "NDArray[numpy.float32] | array[float]"
# Rows of equal length: a two-dimensional numpy array, or a tuple of `array.array("f")`.
Matrix: TypeAlias = "NDArray[numpy.float32] | tuple[array[float], ...]"
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why one text has no result.

    Attributes:
        reason: one word, such as TEXT_EMPTY, TEXT_TOO_LONG or MODEL_FAILED.
        message: the same as a sentence.
        remedy: what to do about it; may be empty.
    """

    reason: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a text the model read.

    Attributes:
        outcome: how the text was fitted to the model's limit.
        tokens: tokens of the whole text, after the model's own normalization.
        used_tokens: tokens that the result is based on.
        limit: the model's limit, in `limit_unit`.
        limit_unit: the unit of `limit`.
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
    """The model and the worker that computed a result, precisely enough to reproduce it.

    Attributes:
        model: the model's key.
        source: a repository of the Hugging Face Hub, or a spaCy package.
        revision: the repository's commit, or the package's version.
        precision: the number format of the weights: `fp32` for instance.
        worker_version: version of the worker.
        model_digest: digest of the model's files; equal digests mean equal files.
        generation: the generation of the worker's catalog.
        engines: what computed it, for one short text and for a full batch if they differ; empty if unknown.
        prompt_name, prompt: the prompt that was put before each text, for vectors; empty without one.
        components: the components of a spaCy pipeline that were run, for syntax.
    """

    model: str
    source: str
    revision: str
    precision: str
    worker_version: str
    model_digest: str
    generation: str
    engines: tuple[str, ...] = ()
    prompt_name: str = ""
    prompt: str = ""
    components: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Timings:
    """Durations in seconds. For several requests: the longest wait in the queue, and the sums of the others."""

    queue: float = 0.0
    tokenize: float = 0.0
    compute: float = 0.0
    total: float = 0.0

    def joined(self, other: "Timings") -> "Timings":
        """Return the durations of two requests together."""
        return Timings(
            queue=max(self.queue, other.queue),
            tokenize=self.tokenize + other.tokenize,
            compute=self.compute + other.compute,
            total=self.total + other.total,
        )


@dataclass(frozen=True, slots=True)
class Answer(Sequence[R], Generic[R]):
    """A sequence with one result for each text, in the order of the texts.

    Attributes:
        results: the results.
        provenances: the models that computed them; more than one only if workers were replaced during a long list.
        timings: the timings of all requests together.
    """

    results: tuple[R, ...]
    provenances: tuple[Provenance, ...]
    timings: Timings

    @property
    def provenance(self) -> Provenance:
        """The model that computed the results (the first of `provenances`)."""
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

    def to_dataframe(
        self, texts: Iterable[Any] | None = None, *, library: Literal["pandas", "polars"] | None = None
    ) -> Any:  # Any: a data frame of either library
        """Return the results as a data frame; see `qda_worker.client.to_dataframe`, whose types are exact."""
        from qda_worker.client import to_dataframe

        results: Any = self  # R may be any type
        return to_dataframe(results, texts, library=library)


@dataclass(frozen=True, slots=True)
class Probabilities:
    """The model's probabilities, from 0 to 1; their sum is 1."""

    positive: float
    negative: float
    neutral: float


@dataclass(frozen=True, slots=True)
class Sentence:
    """The sentiment of one sentence.

    Attributes:
        start, end: its position in the text, in the unit of `Sentiment.offsets`.
        label: the label with the highest probability.
        probabilities: the probabilities of all labels.
        usage: how much of the sentence the model read; None only from a worker that does not report it.
    """

    start: int
    end: int
    label: SentimentLabel
    probabilities: Probabilities
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Sentiment:
    """The sentiment of one text. `label` and `probabilities` are None only if `error` is set."""

    id: str
    error: ItemError | None
    label: SentimentLabel | None
    probabilities: Probabilities | None
    usage: Usage | None
    sentences: tuple[Sentence, ...] = ()
    offsets: Offsets | None = None

    @property
    def ok(self) -> bool:
        """Whether this text has a result."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity in a text.

    Attributes:
        text: the words.
        label: its label in the scheme that was requested.
        model_label: the model's own label.
        start, end: its position in the text, in the unit of `Entities.offsets`.
    """

    text: str
    label: str
    model_label: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Entities:
    """The entities of one text, in order of their position; `offsets` is the unit of positions."""

    id: str
    error: ItemError | None
    entities: tuple[Entity, ...]
    usage: Usage | None
    offsets: Offsets | None

    @property
    def ok(self) -> bool:
        """Whether this text has a result."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class Syntax:
    """The tokens of one text, and its sentences, which together contain each token once.

    Attributes:
        sentences: empty if they were not requested.
        offsets: the unit of positions.
        layers: what the result has beside tokens; None if unknown.
    """

    id: str
    error: ItemError | None
    sentences: tuple[TokenRange, ...]
    tokens: tuple[Token, ...]
    usage: Usage | None
    offsets: Offsets | None
    layers: tuple[SyntaxLayer, ...] | None = None

    @property
    def ok(self) -> bool:
        """Whether this text has a result."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Weights of a text's tokens, in descending order; `token_ids`, `weights` and `tokens` have equal lengths."""

    token_ids: tuple[int, ...]
    weights: tuple[float, ...]
    tokens: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)  # arrays do not compare to one truth value
class Embedding:
    """The vectors of one text; kinds that were not requested are None.

    Attributes:
        dense: shape [dimensions].
        sparse: weights of tokens.
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
        """Whether this text has a result."""
        return self.error is None


@dataclass(frozen=True, slots=True)
class PairScore:
    """The similarity of a pair: the cosine of the vectors of its texts, -1 to 1; None only if `error` is set."""

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
    """Two texts of similar meaning.

    Attributes:
        first: position of one text within `texts`, from 0.
        second: position of the other, within `others` if given, else within `texts`.
        score: the cosine of their vectors, -1 to 1.
    """

    first: int
    second: int
    score: float


@dataclass(frozen=True, slots=True)
class TextProblem:
    """A text that could not be used in a search.

    Attributes:
        in_others: whether it is one of `others`.
        index: its position in `others`, else in `texts`.
        id: its id.
        error: why it could not be used.
    """

    in_others: bool
    index: int
    id: str
    error: ItemError


@dataclass(frozen=True, slots=True)
class Paraphrases:
    """The result of a search for paraphrases.

    Attributes:
        pairs: sorted by the first text's position, then by descending score, then by the second text's position.
        problems: texts that could not be used; all others were.
        provenance: the model that encoded the texts.
        encoded_texts: number of distinct texts that were encoded.
        cut_texts: number of texts of which only the beginning was used.
        windowed_texts: number of texts that were used in windows.
        timings: durations of the search.
    """

    pairs: tuple[Paraphrase, ...]
    problems: tuple[TextProblem, ...]
    provenance: Provenance
    encoded_texts: int
    cut_texts: int
    windowed_texts: int
    timings: Timings


@dataclass(frozen=True, slots=True)
class AnalysisProvenance:
    """The models of a stream of documents: None, or empty, for tasks that were not requested."""

    sentiment: Provenance | None
    entities: Provenance | None
    embeddings: tuple[Provenance, ...]
    syntax: Provenance | None = None


@dataclass(frozen=True, slots=True, eq=False)  # holds vectors
class DocumentAnalysis:
    """The analysis of one document.

    Attributes:
        index: position of the document among all documents of the call, from 0.
        error: why the whole document was not analyzed. The results of the tasks have errors of their own.
        sentiment, entities, syntax: None if not requested.
        embeddings: one for each `EmbeddingTask`.
        provenance: the models of the stream.
    """

    index: int
    id: str
    error: ItemError | None
    sentiment: Sentiment | None
    entities: Entities | None
    embeddings: tuple[Embedding, ...]
    provenance: AnalysisProvenance
    timings: Timings
    syntax: Syntax | None = None

    @property
    def ok(self) -> bool:
        """Whether all requested tasks have a result."""
        parts = [self.sentiment, self.entities, self.syntax, *self.embeddings]
        return self.error is None and all(part is None or part.ok for part in parts)
