"""Convert a list of texts of any length to unary requests, and their responses to one `Answer`.

A `ChunkedRequest` is all that a transport needs to know about a call: the requests, each within the limits of a
message, and the function that reads the results of a response. `ResultCollector` checks the number of results and
combines them in the order of the texts. No I/O here: the sync and the async client share this module and differ only in
how they send the requests.

Requests are built one at a time, when the transport takes the next one: a long list is not in memory twice.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from google.protobuf.message import Message

from qda.v1 import (
    embedding_pb2,
    entity_pb2,
    paraphrase_pb2,
    processing_pb2,
    sentiment_pb2,
    syntax_pb2,
    text_pb2,
)
from qda_worker.client import from_proto, proto_enums
from qda_worker.client.chunks import chunk_slices
from qda_worker.client.enums import (
    EmbeddingKind,
    LabelScheme,
    LongTexts,
    Numbers,
    Offsets,
    Priority,
    SyntaxLayer,
)
from qda_worker.client.errors import InvalidRequest, ServerFailed
from qda_worker.client.item_problems import Problems, with_problem
from qda_worker.client.results import (
    Answer,
    Embedding,
    Entities,
    PairScore,
    Provenance,
    Sentiment,
    Syntax,
    Timings,
)
from qda_worker.client.texts import Pair, Text, pair_messages, text_messages
from qda_worker.limits import MAX_REQUEST_BYTES

# Bytes of the texts in a request for syntax: its response has about 20 times as many. A longer text is sent alone.
_SYNTAX_BYTES: Final = 2**20

R = TypeVar("R", bound=Sentiment | Entities | Syntax | Embedding | PairScore)

# Called each time a request is answered, with the number of texts that are done and the number of all texts.
Progress: TypeAlias = Callable[[int, int], None]

# Called with each part of an answer as it arrives: the position of its first text, and the results.
OnResults: TypeAlias = Callable[[int, Answer[R]], None]


class Response(Protocol):
    """The fields that the responses of all unary RPCs about texts have."""

    @property
    def provenance(self) -> processing_pb2.Provenance: ...
    @property
    def timings(self) -> processing_pb2.Timings: ...


Q = TypeVar("Q", bound=Message)
S = TypeVar("S", bound=Response)
TextRequest = TypeVar(
    "TextRequest",
    sentiment_pb2.AnalyzeSentimentRequest,
    entity_pb2.RecognizeEntitiesRequest,
    embedding_pb2.EmbedRequest,
    syntax_pb2.AnalyzeSyntaxRequest,
)


@dataclass(frozen=True, slots=True)
class ChunkedRequest(Generic[Q, S, R]):
    """One list of texts (or pairs) as several requests.

    Attributes:
        item_count: number of all items.
        chunks: each request with the number of its items; can be iterated once.
        read: returns the results of a response, one for each item.
        problems: the items that are not sent; each is empty in its request.
    """

    item_count: int
    chunks: Iterable[tuple[Q, int]]
    read: Callable[[S], Sequence[R]]
    problems: Problems = field(default_factory=dict)


class ResultCollector(Generic[S, R]):
    """Combines the responses of a `ChunkedRequest`, which are added in the order of its chunks.

    Attributes:
        results: the results of all texts whose responses were added.
    """

    def __init__(self, request: ChunkedRequest[Any, S, R], on_results: "OnResults[R] | None" = None) -> None:
        """Begin without a response; `on_results` is called with the results of each one that is added."""
        self.results: list[R] = []
        self._request = request
        self._on_results = on_results
        self._provenances: list[Provenance] = []
        self._timings = Timings()
        self._position = 0
        self._current: tuple[S, int] | None = None

    def add(self, response: S, item_count: int) -> None:
        """Add the response to the next chunk, of `item_count` items.

        Raises:
            ServerFailed: when it has another number of results, which could not be assigned to their texts.
        """
        start = self._position
        self._current = response, item_count  # delivered by `deliver_later` if Ctrl-C interrupts the reading
        part = self._read(response, start, item_count)
        self._current = None
        self._position += item_count
        self.results.extend(part.results)
        self._provenances.extend(each for each in part.provenances if each not in self._provenances)
        self._timings = self._timings.joined(part.timings)
        if self._on_results is not None:
            self._on_results(start, part)

    def deliver_later(self, responses: Iterable[tuple[S | None, int]]) -> None:
        """Call `on_results` with what has arrived for later chunks, if the call ends before their turn.

        Args:
            responses: for each of the next chunks: its response, None if there is none, and the number of its items.
        """
        start = self._position
        first: list[tuple[S | None, int]] = [] if self._current is None else [self._current]
        for response, item_count in chain(first, responses):
            if response is not None and self._on_results is not None:
                with suppress(ServerFailed):  # the failure that ended the call is the one to report
                    self._on_results(start, self._read(response, start, item_count))
            start += item_count

    def answer(self) -> Answer[R]:
        """Return all results so far, in the order of the texts."""
        return Answer(tuple(self.results), tuple(self._provenances), self._timings)

    def _read(self, response: S, start: int, item_count: int) -> Answer[R]:
        results = self._request.read(response)
        if len(results) != item_count:
            raise ServerFailed(f"the worker answered {len(results)} of {item_count} texts")
        problems = self._request.problems
        return Answer(
            tuple(with_problem(result, problems.get(start + index)) for index, result in enumerate(results)),
            (from_proto.provenance(response.provenance),),
            from_proto.timings(response.timings),
        )


def sentiment_request(
    texts: Iterable[str | Text],
    *,
    model: str,
    long_texts: LongTexts,
    priority: Priority | None,
    sentences: bool,
    offsets: Offsets,
    chunk_texts: int,
) -> ChunkedRequest[sentiment_pb2.AnalyzeSentimentRequest, sentiment_pb2.AnalyzeSentimentResponse, Sentiment]:
    """Return the requests for the sentiment of texts.

    Raises:
        InvalidRequest: when a text or an argument is invalid.
    """
    problems: Problems = {}
    messages = text_messages(texts, problems)
    base = sentiment_pb2.AnalyzeSentimentRequest(
        model=model,
        long_text_policy=proto_enums.to_number(proto_enums.LONG_TEXTS, long_texts, "long_texts"),
        priority=_priority(priority, len(messages), chunk_texts),
        include_sentences=sentences,
        offset_encoding=proto_enums.to_number(proto_enums.OFFSETS, offsets, "offsets"),
    )

    def read(response: sentiment_pb2.AnalyzeSentimentResponse) -> list[Sentiment]:
        unit = from_proto.offset_unit(response.offset_encoding) if sentences else None
        return [from_proto.sentiment(each, unit) for each in response.results]

    return ChunkedRequest(len(messages), _text_chunks(base, messages, chunk_texts), read, problems)


def entity_request(
    texts: Iterable[str | Text],
    *,
    model: str,
    long_texts: LongTexts,
    priority: Priority | None,
    offsets: Offsets,
    label_scheme: LabelScheme,
    labels: Sequence[str],
    chunk_texts: int,
) -> ChunkedRequest[entity_pb2.RecognizeEntitiesRequest, entity_pb2.RecognizeEntitiesResponse, Entities]:
    """Return the requests for the entities of texts.

    Raises:
        InvalidRequest: when a text or an argument is invalid.
    """
    problems: Problems = {}
    messages = text_messages(texts, problems)
    base = entity_pb2.RecognizeEntitiesRequest(
        model=model,
        long_text_policy=proto_enums.to_number(proto_enums.LONG_TEXTS, long_texts, "long_texts"),
        priority=_priority(priority, len(messages), chunk_texts),
        offset_encoding=proto_enums.to_number(proto_enums.OFFSETS, offsets, "offsets"),
        label_scheme=proto_enums.to_number(proto_enums.LABEL_SCHEMES, label_scheme, "label_scheme"),
        labels=labels,
    )

    def read(response: entity_pb2.RecognizeEntitiesResponse) -> list[Entities]:
        unit = from_proto.offset_unit(response.offset_encoding)
        return [from_proto.entities(each, unit) for each in response.results]

    return ChunkedRequest(len(messages), _text_chunks(base, messages, chunk_texts), read, problems)


def syntax_request(
    texts: Iterable[str | Text],
    *,
    model: str,
    long_texts: LongTexts,
    priority: Priority | None,
    offsets: Offsets,
    layers: Sequence[SyntaxLayer],
    chunk_texts: int,
) -> ChunkedRequest[syntax_pb2.AnalyzeSyntaxRequest, syntax_pb2.AnalyzeSyntaxResponse, Syntax]:
    """Return the requests for the tokens of texts.

    Raises:
        InvalidRequest: when a text or an argument is invalid.
    """
    problems: Problems = {}
    messages = text_messages(texts, problems)
    base = syntax_pb2.AnalyzeSyntaxRequest(
        model=model,
        long_text_policy=proto_enums.to_number(proto_enums.LONG_TEXTS, long_texts, "long_texts"),
        priority=_priority(priority, len(messages), chunk_texts),
        offset_encoding=proto_enums.to_number(proto_enums.OFFSETS, offsets, "offsets"),
        layers=proto_enums.to_numbers(proto_enums.SYNTAX_LAYERS, layers, "layers"),
    )

    def read(response: syntax_pb2.AnalyzeSyntaxResponse) -> list[Syntax]:
        unit = from_proto.offset_unit(response.offset_encoding)
        found = proto_enums.to_enums(proto_enums.SYNTAX_LAYERS, response.layers)
        return [from_proto.syntax(each, unit, found) for each in response.results]

    chunks = _text_chunks(base, messages, chunk_texts, _SYNTAX_BYTES)
    return ChunkedRequest(len(messages), chunks, read, problems)


def embed_request(
    texts: Iterable[str | Text],
    *,
    model: str,
    long_texts: LongTexts,
    priority: Priority | None,
    kinds: Sequence[EmbeddingKind],
    normalize: bool | None,
    dimensions: int,
    numbers: Numbers,
    prompt_name: str = "",
    chunk_texts: int,
) -> ChunkedRequest[embedding_pb2.EmbedRequest, embedding_pb2.EmbedResponse, Embedding]:
    """Return the requests for the vectors of texts.

    Raises:
        InvalidRequest: when a text or an argument is invalid.
    """
    problems: Problems = {}
    messages = text_messages(texts, problems)
    base = embedding_pb2.EmbedRequest(
        model=model,
        long_text_policy=proto_enums.to_number(proto_enums.LONG_TEXTS, long_texts, "long_texts"),
        priority=_priority(priority, len(messages), chunk_texts),
        options=embedding_options(kinds, normalize, dimensions, numbers),
        prompt_name=prompt_name,
    )

    def read(response: embedding_pb2.EmbedResponse) -> list[Embedding]:
        return [from_proto.embedding(each) for each in response.results]

    return ChunkedRequest(len(messages), _text_chunks(base, messages, chunk_texts), read, problems)


def pair_request(
    pairs: Iterable[Pair | tuple[str | Text, str | Text]],
    *,
    model: str,
    long_texts: LongTexts,
    priority: Priority | None,
    prompt_name: str = "",
    chunk_texts: int,
) -> ChunkedRequest[paraphrase_pb2.ScorePairsRequest, paraphrase_pb2.ScorePairsResponse, PairScore]:
    """Return the requests for the scores of pairs; a pair counts as two texts.

    Raises:
        InvalidRequest: when a text or an argument is invalid.
    """
    problems: Problems = {}
    messages = pair_messages(pairs, problems)
    base = paraphrase_pb2.ScorePairsRequest(
        model=model,
        long_text_policy=proto_enums.to_number(proto_enums.LONG_TEXTS, long_texts, "long_texts"),
        priority=_priority(priority, 2 * len(messages), chunk_texts),
        prompt_name=prompt_name,
    )

    def chunks() -> Iterator[tuple[paraphrase_pb2.ScorePairsRequest, int]]:
        sizes = [message.ByteSize() for message in messages]
        for chunk in chunk_slices(sizes, max(1, chunk_texts // 2), MAX_REQUEST_BYTES - base.ByteSize()):
            request = paraphrase_pb2.ScorePairsRequest(pairs=messages[chunk])
            request.MergeFrom(base)
            yield request, len(request.pairs)

    def read(response: paraphrase_pb2.ScorePairsResponse) -> list[PairScore]:
        return [from_proto.pair_score(each) for each in response.results]

    return ChunkedRequest(len(messages), chunks(), read, problems)


def embedding_options(
    kinds: Sequence[EmbeddingKind], normalize: bool | None, dimensions: int, numbers: Numbers
) -> embedding_pb2.EmbeddingOptions:
    """Return the message with the options of vectors; see `Client.embed`.

    Raises:
        InvalidRequest: when an option is invalid.
    """
    if dimensions < 0:
        raise InvalidRequest(
            f"dimensions is {dimensions}", remedy="use 0 for all, or a length that the model allows"
        )
    return embedding_pb2.EmbeddingOptions(
        kinds=proto_enums.to_numbers(proto_enums.EMBEDDING_KINDS, kinds, "kinds"),
        element_type=proto_enums.to_number(proto_enums.NUMBERS, numbers, "numbers"),
        normalize=normalize,
        dimension_count=dimensions,
    )


def with_total(progress: Progress | None, total: int) -> Callable[[int], None] | None:
    """Return `progress` as a function of the finished texts only."""
    return None if progress is None else lambda done: progress(done, total)


def _text_chunks(
    base: TextRequest,
    messages: Sequence[text_pb2.Text],
    chunk_texts: int,
    max_bytes: int = MAX_REQUEST_BYTES,
) -> Iterator[tuple[TextRequest, int]]:
    """Yield requests that contain the fields of `base` and a chunk of the texts."""
    sizes = [message.ByteSize() for message in messages]
    for chunk in chunk_slices(sizes, chunk_texts, max_bytes - base.ByteSize()):
        request = type(base)(texts=messages[chunk])
        request.MergeFrom(base)
        yield request, len(request.texts)


def _priority(
    priority: Priority | None, text_count: int, chunk_texts: int
) -> processing_pb2.Priority.ValueType:
    """Return the caller's choice, or bulk for a list of several requests, so that it does not delay short ones."""
    if priority is not None:
        return proto_enums.to_number(proto_enums.PRIORITIES, priority, "priority")
    return processing_pb2.PRIORITY_BULK if text_count > chunk_texts else processing_pb2.PRIORITY_UNSPECIFIED
