"""A stream of documents that outlives its worker: what was sent and not answered yet is sent again to the next one.

Pure but for the caller's iterator; the clients carry the parts to a worker and back. Memory holds only the
documents that are under way, and gRPC's flow control decides how many those are.

The caller's iterator of documents, read by gRPC's own thread or by a task, so that a stream can break and go
on.

The reader of a stream that broke may still be waiting for the caller's next document when the next stream begins.
So each stream asks by position: a document that the old reader fetched too late is there for the new one.

Streams of vectors that outlive their worker: texts without vectors yet are asked for again at the next one.

Pure but for the caller's iterator; the clients carry requests and parts. Memory holds the texts of one request and the
vectors of one text, however many there are.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from itertools import chain
from threading import Lock
from typing import Final

from qda.v1 import analysis_pb2, embedding_pb2, text_pb2
from qda_worker.client import from_proto, proto_enums, vectors
from qda_worker.client.enums import EmbeddingKind, LongTexts, Numbers, Offsets, Priority
from qda_worker.client.errors import InvalidRequest, ServerFailed, Violation
from qda_worker.client.requests import embedding_options, field_overhead
from qda_worker.client.results import (
    AnalysisProvenance,
    AnalysisTask,
    Answer,
    DocumentAnalysis,
    Embedding,
    EmbeddingTask,
    EntityTask,
    Matrix,
    Provenance,
    SentimentTask,
    Timings,
)
from qda_worker.client.texts import Text, iter_text_messages, text_message
from qda_worker.limits import MAX_REQUEST_BYTES


def analysis_settings(
    tasks: Sequence[AnalysisTask], *, offsets: Offsets, long_texts: LongTexts, priority: Priority | None
) -> analysis_pb2.AnalyzeDocumentsRequest:
    """The first part of a stream.

    Raises:
        InvalidRequest: no task, sentiment or entities twice, or an unknown choice.
    """
    settings = analysis_pb2.AnalyzeDocumentsSettings(
        long_text_policy=proto_enums.number(proto_enums.LONG_TEXTS, long_texts, "long_texts"),
        offset_encoding=proto_enums.number(proto_enums.OFFSETS, offsets, "offsets"),
    )
    if priority is not None:
        settings.priority = proto_enums.number(proto_enums.PRIORITIES, priority, "priority")
    for index, task in enumerate(tasks):
        _add_task(settings, task, f"tasks[{index}]")
    if not tasks:
        raise _invalid("tasks", "is empty; ask for at least one")
    return analysis_pb2.AnalyzeDocumentsRequest(settings=settings)


class UnansweredDocuments:
    """The documents between the caller's iterator and the results, known by their positions from 0.

    One thread (or task) adds and looks up what is to be sent, another takes out what was answered.
    """

    def __init__(self) -> None:
        self.answered = 0
        """Documents whose result has arrived; also the position of the oldest one that is under way."""
        self.added = 0
        """Documents that were taken from the caller's iterator."""
        self._waiting: dict[int, text_pb2.Text] = {}

    def add(self, document: text_pb2.Text) -> None:
        """Takes in the next document of the caller."""
        self._waiting[self.added] = document
        self.added += 1

    def at(self, position: int) -> text_pb2.Text | None:
        """The document at a position; None if there is none (yet), or if it was answered."""
        return self._waiting.get(position)

    def answer(self, position: int) -> None:
        """Notes the result of the oldest document under way.

        Raises:
            ServerFailed: it is the result of another one.
        """
        if position != self.answered or position not in self._waiting:
            raise ServerFailed(f"the worker answered document {position} where {self.answered} was due")
        del self._waiting[position]
        self.answered += 1


class StreamAnswers:
    """Reads the parts of one stream, which began with document `first`."""

    def __init__(self, documents: UnansweredDocuments) -> None:
        self._documents = documents
        self._first = documents.answered
        self._made_by = AnalysisProvenance(None, None, ())
        self._offsets: Offsets | None = None
        self.results = 0
        """Results that this stream brought."""

    def read(self, response: analysis_pb2.AnalyzeDocumentsResponse) -> DocumentAnalysis | None:
        """The result that a part brings; None if it brings none (the header)."""
        match response.WhichOneof("part"):
            case "header":
                self._made_by = from_proto.analysis_provenance(response.header)
                self._offsets = from_proto.offsets_of(response.header.offset_encoding)
            case "result":
                position = self._first + response.result.index
                self._documents.answer(position)
                self.results += 1
                return from_proto.document(response.result, position, self._offsets, self._made_by)
        return None

    def end(self) -> None:
        """The stream has ended well.

        Raises:
            ServerFailed: documents that were sent have no result.
        """
        missing = self._documents.added - self._documents.answered
        if missing:
            raise ServerFailed(f"the stream ended without the results of {missing} documents that were sent")


def _add_task(settings: analysis_pb2.AnalyzeDocumentsSettings, task: AnalysisTask, place: str) -> None:
    if isinstance(task, EmbeddingTask):
        options = embedding_options(task.kinds, task.normalize, task.dimensions, task.numbers)
        settings.embeddings.append(analysis_pb2.EmbeddingTask(model=task.model, options=options))
        return
    if settings.HasField("sentiment" if isinstance(task, SentimentTask) else "entities"):
        raise _invalid(place, "asks for the same task a second time")
    if isinstance(task, SentimentTask):
        settings.sentiment.CopyFrom(
            analysis_pb2.SentimentTask(model=task.model, include_sentences=task.sentences)
        )
    elif isinstance(task, EntityTask):
        scheme = proto_enums.number(proto_enums.LABEL_SCHEMES, task.label_scheme, f"{place}.label_scheme")
        settings.entities.CopyFrom(
            analysis_pb2.EntityTask(model=task.model, label_scheme=scheme, labels=task.labels)
        )


def _invalid(field: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {what}", violations=[Violation(field, what)])


# What errors call the caller's list.
NAME: Final = "documents"


class DocumentSource:
    """Feeds the sync client's streams. An error of the caller's iterator ends the feeding and is kept in `failure`."""

    def __init__(self, texts: Iterable[str | Text], documents: UnansweredDocuments) -> None:
        self._messages = iter_text_messages(texts, NAME)
        self._documents = documents
        self._pulling = Lock()
        self.failure: Exception | None = None

    def parts(
        self, settings: analysis_pb2.AnalyzeDocumentsRequest
    ) -> Iterator[analysis_pb2.AnalyzeDocumentsRequest]:
        """What one stream sends: the settings, what is unanswered, then what the caller still has."""
        position = self._documents.answered
        yield settings
        while True:
            self._fetch(position)
            document = self._documents.at(position)
            if document is None:
                return
            yield analysis_pb2.AnalyzeDocumentsRequest(document=document)
            position += 1

    def _fetch(self, position: int) -> None:
        if position < self._documents.added:
            return
        with self._pulling:
            if position < self._documents.added or self.failure is not None:
                return
            try:
                message = next(self._messages, None)
            except Exception as error:  # noqa: BLE001 - kept, and raised in the caller's thread after the last result
                self.failure = error
                return
            if message is not None:
                self._documents.add(message)


class AsyncDocumentSource:
    """The same for the async client, whose callers may bring an async iterator."""

    def __init__(
        self, texts: Iterable[str | Text] | AsyncIterable[str | Text], documents: UnansweredDocuments
    ) -> None:
        if isinstance(texts, str | Text):
            raise TypeError(f"{NAME} is one text where a list of texts is expected: write [text]")
        self._texts = aiter(texts) if isinstance(texts, AsyncIterable) else _as_async(texts)
        self._documents = documents
        self._pull: asyncio.Task[None] | None = None
        self._ended = False
        self.failure: Exception | None = None

    async def parts(
        self, settings: analysis_pb2.AnalyzeDocumentsRequest
    ) -> AsyncIterator[analysis_pb2.AnalyzeDocumentsRequest]:
        """See `DocumentSource.parts`."""
        position = self._documents.answered
        yield settings
        while True:
            while position >= self._documents.added and not self._ended:
                if self._pull is None or self._pull.done():
                    self._pull = asyncio.create_task(self._fetch())
                # Shielded: gRPC cancels the reader of a stream that broke, which would end the caller's generator.
                await asyncio.shield(self._pull)
            document = self._documents.at(position)
            if document is None:
                return
            yield analysis_pb2.AnalyzeDocumentsRequest(document=document)
            position += 1

    async def close(self) -> None:
        """Stops waiting for the caller's next document."""
        if self._pull is not None and not self._pull.done():
            self._pull.cancel()
            await asyncio.wait([self._pull])

    async def _fetch(self) -> None:
        try:
            text = await anext(self._texts)
            self._documents.add(text_message(text, f"{NAME}[{self._documents.added}]"))
        except StopAsyncIteration:
            self._ended = True
        except Exception as error:  # noqa: BLE001 - kept, and raised in the caller's task after the last result
            self.failure = error
            self._ended = True


async def _as_async(texts: Iterable[str | Text]) -> AsyncIterator[str | Text]:
    for text in texts:
        yield text


_REQUEST_TEXTS: Final = 2_000  # texts of one stream; the next one waits for its end, so not too few


class VectorStreams:
    """The requests that the caller's texts make, one after the other, and what their parts bring."""

    def __init__(self, texts: Iterable[text_pb2.Text], base: embedding_pb2.EmbedStreamRequest) -> None:
        self._texts = iter(texts)
        self._base = base
        self._asked: list[text_pb2.Text] = []
        self._part = _OneStream()
        self.provenances: list[Provenance] = []
        self.timings = Timings()

    @property
    def fruitful(self) -> bool:
        """Whether the present stream has brought a result."""
        return self._part.items > 0

    def request(self) -> embedding_pb2.EmbedStreamRequest | None:
        """The next request: texts that the last stream left without a result, else new ones; None at the end."""
        waiting = self._asked[self._part.items :]
        self._part = _OneStream()
        self._asked = waiting or self._next_chunk()
        if not self._asked:
            return None
        request = embedding_pb2.EmbedStreamRequest(texts=self._asked)
        request.MergeFrom(self._base)
        return request

    def read(self, response: embedding_pb2.EmbedStreamResponse) -> Embedding | None:
        """The vectors of the text that this part ends; None if it ends none. Raises ServerFailed."""
        match response.WhichOneof("part"):
            case "header":
                made_by = from_proto.provenance(response.header.provenance)
                if made_by not in self.provenances:
                    self.provenances.append(made_by)
            case "rows":
                self._part.add(response.rows)
            case "item":
                return self._part.end_text(response.item)
            case "trailer":
                self.timings = self.timings.joined(from_proto.timings(response.trailer.timings))
                self._part.ended = True
        return None

    def end(self) -> None:
        """The stream has ended well. Raises ServerFailed where texts have no result."""
        missing = len(self._asked) - self._part.items
        if missing or not self._part.ended:
            raise ServerFailed(f"the stream of vectors ended without those of {missing} texts")

    def answer(self, results: Sequence[Embedding]) -> Answer[Embedding]:
        """The results that were read, with who made them."""
        return Answer(tuple(results), tuple(self.provenances), self.timings)

    def _next_chunk(self) -> list[text_pb2.Text]:
        """As many texts as one request takes."""
        room = MAX_REQUEST_BYTES - self._base.ByteSize()
        chunk: list[text_pb2.Text] = []
        for text in self._texts:
            size = text.ByteSize()
            room -= size + field_overhead(size)
            if chunk and room < 0:
                self._texts = chain([text], self._texts)
                break
            chunk.append(text)
            if len(chunk) == _REQUEST_TEXTS:
                break
        return chunk


def vector_streams(
    texts: Iterable[text_pb2.Text],
    *,
    model: str,
    long_texts: LongTexts,
    priority: Priority | None,
    kinds: Sequence[EmbeddingKind],
    normalize: bool | None,
    dimensions: int,
    numbers: Numbers,
) -> VectorStreams:
    """The streams that bring these vectors. Raises InvalidRequest."""
    base = embedding_pb2.EmbedStreamRequest(
        model=model,
        long_text_policy=proto_enums.number(proto_enums.LONG_TEXTS, long_texts, "long_texts"),
        options=embedding_options(kinds, normalize, dimensions, numbers),
    )
    if priority is not None:
        base.priority = proto_enums.number(proto_enums.PRIORITIES, priority, "priority")
    return VectorStreams(texts, base)


class _OneStream:
    """What the present stream has brought: `items` texts, and some rows of the next one."""

    def __init__(self) -> None:
        self.items = 0
        self.ended = False
        self._rows: dict[int, list[Matrix]] = {}

    def add(self, part: embedding_pb2.EmbedStreamRows) -> None:
        before = self._rows.setdefault(part.kind, [])
        if part.item_index != self.items or part.row_offset != sum(map(len, before)):
            raise ServerFailed(
                f"the worker sent rows from {part.row_offset} of text {part.item_index} where those from "
                f"{sum(map(len, before))} of text {self.items} were due"
            )
        before.append(vectors.matrix(part.rows))

    def end_text(self, item: embedding_pb2.EmbedStreamItem) -> Embedding:
        rows, self._rows = self._rows, {}
        multi = rows.get(embedding_pb2.EMBEDDING_KIND_MULTI_VECTOR, [])
        if item.item_index != self.items or item.multi_vector_row_count != sum(map(len, multi)):
            raise ServerFailed(f"the worker ended text {item.item_index} with {sum(map(len, multi))} rows")
        self.items += 1
        dense = rows.get(embedding_pb2.EMBEDDING_KIND_DENSE)
        return from_proto.streamed_embedding(
            item, dense[0][0] if dense else None, vectors.joined(multi) if multi else None
        )
