"""A list of texts as a job: the requests that it takes, chunk by chunk, and how their responses become one answer.

Pure: the sync and the async client differ only in how they carry a job's requests to the worker and back.

Cuts a long list into requests that a worker takes: at most so many items, at most so many bytes, in order.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeAlias, TypeVar

from google.protobuf.message import Message

from qda.v1 import embedding_pb2, entity_pb2, paraphrase_pb2, processing_pb2, sentiment_pb2, text_pb2
from qda_worker.client import from_proto, proto_enums
from qda_worker.client.enums import EmbeddingKind, LabelScheme, LongTexts, Numbers, Offsets, Priority
from qda_worker.client.errors import InvalidRequest, ServerFailed
from qda_worker.client.results import Answer, Embedding, Entities, PairScore, Provenance, Sentiment, Timings
from qda_worker.client.texts import Pair, Text, pair_messages, text_messages
from qda_worker.limits import MAX_REQUEST_BYTES


def spans(sizes: Sequence[int], max_items: int, max_bytes: int) -> Iterator[slice]:
    """Successive slices that together cover all items once, each as long as both limits allow.

    Args:
        sizes: bytes of each item's message, without what a repeated field adds to it.
        max_items: items in one slice, at least 1.
        max_bytes: bytes of one slice's items, what a repeated field adds included. A single item above it gets a slice
            of its own: whoever made the item has checked that a message can hold it.
    """
    start = taken = 0
    for index, size in enumerate(sizes):
        cost = size + field_overhead(size)
        if index > start and (index - start == max_items or taken + cost > max_bytes):
            yield slice(start, index)
            start, taken = index, 0
        taken += cost
    if start < len(sizes):
        yield slice(start, len(sizes))


def field_overhead(size: int) -> int:
    """Bytes before an embedded message of `size` bytes: its field number (below 16), then its length, 7 bits a byte."""
    return 1 + max(1, (size.bit_length() + 6) // 7)


class Response(Protocol):
    """What the responses of all jobs have."""

    @property
    def provenance(self) -> processing_pb2.Provenance: ...
    @property
    def timings(self) -> processing_pb2.Timings: ...


# Called with the texts that are done and the texts of the whole list, each time a request is answered.
Progress: TypeAlias = Callable[[int, int], None]


def of_total(progress: Progress | None, total: int) -> Callable[[int], None] | None:
    """The same, called with the texts that are done alone."""
    return None if progress is None else lambda done: progress(done, total)


Q = TypeVar("Q", bound=Message)
S = TypeVar("S", bound=Response)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Job(Generic[Q, S, R]):
    """The requests of one list of texts, made one by one as they are asked for, and the reader of their responses."""

    items: int
    # Each request with the number of its items.
    requests: Iterable[tuple[Q, int]]
    read: Callable[[S], Sequence[R]]


@dataclass(slots=True)
class ResultCollector(Generic[S, R]):
    """The responses of a job so far; they are added in the order of its requests."""

    read: Callable[[S], Sequence[R]]
    results: list[R] = field(default_factory=list)
    provenances: list[Provenance] = field(default_factory=list)
    timings: Timings = field(default_factory=Timings)

    def add(self, response: S, expected: int) -> None:
        """Takes in one response.

        Raises:
            ServerFailed: it does not hold `expected` results, so that no result could be given to its text.
        """
        results = self.read(response)
        if len(results) != expected:
            raise ServerFailed(f"the worker answered {len(results)} of {expected} texts")
        self.results.extend(results)
        made_by = from_proto.provenance(response.provenance)
        if made_by not in self.provenances:
            self.provenances.append(made_by)
        self.timings = self.timings.joined(from_proto.timings(response.timings))

    def answer(self) -> Answer[R]:
        """All results, in the order of the texts."""
        return Answer(tuple(self.results), tuple(self.provenances), self.timings)


def sentiment_job(
    texts: Iterable[str | Text],
    *,
    model: str,
    long_texts: LongTexts,
    priority: Priority | None,
    sentences: bool,
    offsets: Offsets,
    chunk_texts: int,
) -> Job[sentiment_pb2.AnalyzeSentimentRequest, sentiment_pb2.AnalyzeSentimentResponse, Sentiment]:
    """Asks for the sentiment of texts."""
    messages = text_messages(texts)
    base = sentiment_pb2.AnalyzeSentimentRequest(
        model=model,
        long_text_policy=proto_enums.number(proto_enums.LONG_TEXTS, long_texts, "long_texts"),
        priority=_lane(priority, len(messages), chunk_texts),
        include_sentences=sentences,
        offset_encoding=proto_enums.number(proto_enums.OFFSETS, offsets, "offsets"),
    )

    def read(response: sentiment_pb2.AnalyzeSentimentResponse) -> list[Sentiment]:
        echoed = from_proto.offsets_of(response.offset_encoding) if sentences else None
        return [from_proto.sentiment(each, echoed) for each in response.results]

    return Job(len(messages), _text_requests(base, messages, chunk_texts), read)


def entity_job(
    texts: Iterable[str | Text],
    *,
    model: str,
    long_texts: LongTexts,
    priority: Priority | None,
    offsets: Offsets,
    label_scheme: LabelScheme,
    labels: Sequence[str],
    chunk_texts: int,
) -> Job[entity_pb2.RecognizeEntitiesRequest, entity_pb2.RecognizeEntitiesResponse, Entities]:
    """Asks for the entities of texts."""
    messages = text_messages(texts)
    base = entity_pb2.RecognizeEntitiesRequest(
        model=model,
        long_text_policy=proto_enums.number(proto_enums.LONG_TEXTS, long_texts, "long_texts"),
        priority=_lane(priority, len(messages), chunk_texts),
        offset_encoding=proto_enums.number(proto_enums.OFFSETS, offsets, "offsets"),
        label_scheme=proto_enums.number(proto_enums.LABEL_SCHEMES, label_scheme, "label_scheme"),
        labels=labels,
    )

    def read(response: entity_pb2.RecognizeEntitiesResponse) -> list[Entities]:
        echoed = from_proto.offsets_of(response.offset_encoding)
        return [from_proto.entities(each, echoed) for each in response.results]

    return Job(len(messages), _text_requests(base, messages, chunk_texts), read)


def embed_job(
    texts: Iterable[str | Text],
    *,
    model: str,
    long_texts: LongTexts,
    priority: Priority | None,
    kinds: Sequence[EmbeddingKind],
    normalize: bool | None,
    dimensions: int,
    numbers: Numbers,
    chunk_texts: int,
) -> Job[embedding_pb2.EmbedRequest, embedding_pb2.EmbedResponse, Embedding]:
    """Asks for the vectors of texts."""
    messages = text_messages(texts)
    base = embedding_pb2.EmbedRequest(
        model=model,
        long_text_policy=proto_enums.number(proto_enums.LONG_TEXTS, long_texts, "long_texts"),
        priority=_lane(priority, len(messages), chunk_texts),
        options=embedding_options(kinds, normalize, dimensions, numbers),
    )

    def read(response: embedding_pb2.EmbedResponse) -> list[Embedding]:
        return [from_proto.embedding(each) for each in response.results]

    return Job(len(messages), _text_requests(base, messages, chunk_texts), read)


def pair_job(
    pairs: Iterable[Pair | tuple[str | Text, str | Text]],
    *,
    model: str,
    long_texts: LongTexts,
    priority: Priority | None,
    chunk_texts: int,
) -> Job[paraphrase_pb2.ScorePairsRequest, paraphrase_pb2.ScorePairsResponse, PairScore]:
    """Asks for the scores of pairs."""
    messages = pair_messages(pairs)
    base = paraphrase_pb2.ScorePairsRequest(
        model=model,
        long_text_policy=proto_enums.number(proto_enums.LONG_TEXTS, long_texts, "long_texts"),
        priority=_lane(priority, 2 * len(messages), chunk_texts),
    )

    def requests() -> Iterator[tuple[paraphrase_pb2.ScorePairsRequest, int]]:
        sizes = [message.ByteSize() for message in messages]
        for span in spans(sizes, max(1, chunk_texts // 2), MAX_REQUEST_BYTES - base.ByteSize()):
            request = paraphrase_pb2.ScorePairsRequest(pairs=messages[span])
            request.MergeFrom(base)
            yield request, len(request.pairs)

    def read(response: paraphrase_pb2.ScorePairsResponse) -> list[PairScore]:
        return [from_proto.pair_score(each) for each in response.results]

    return Job(len(messages), requests(), read)


def embedding_options(
    kinds: Sequence[EmbeddingKind], normalize: bool | None, dimensions: int, numbers: Numbers
) -> embedding_pb2.EmbeddingOptions:
    """The message that says which vectors are wanted, and in which form."""
    if dimensions < 0:
        raise InvalidRequest(
            f"dimensions is {dimensions}", remedy="use 0 for all, or a length that the model allows"
        )
    return embedding_pb2.EmbeddingOptions(
        kinds=proto_enums.numbers(proto_enums.EMBEDDING_KINDS, kinds, "kinds"),
        element_type=proto_enums.number(proto_enums.NUMBERS, numbers, "numbers"),
        normalize=normalize,
        dimension_count=dimensions,
    )


T = TypeVar(
    "T",
    sentiment_pb2.AnalyzeSentimentRequest,
    entity_pb2.RecognizeEntitiesRequest,
    embedding_pb2.EmbedRequest,
)


def _text_requests(base: T, messages: Sequence[text_pb2.Text], chunk_texts: int) -> Iterator[tuple[T, int]]:
    """Requests that hold `base` and their share of the texts."""
    sizes = [message.ByteSize() for message in messages]
    for span in spans(sizes, chunk_texts, MAX_REQUEST_BYTES - base.ByteSize()):
        request = type(base)(texts=messages[span])
        request.MergeFrom(base)
        yield request, len(request.texts)


def _lane(priority: Priority | None, texts: int, chunk_texts: int) -> processing_pb2.Priority.ValueType:
    """Unless told otherwise, a list of several requests is bulk work: somebody's single one goes before it."""
    if priority is not None:
        return proto_enums.number(proto_enums.PRIORITIES, priority, "priority")
    return processing_pb2.PRIORITY_BULK if texts > chunk_texts else processing_pb2.PRIORITY_UNSPECIFIED
