"""The state of an `analyze` call, which continues on another worker when its stream breaks.

The call opens one AnalyzeDocuments stream after the other until every document has its result. Documents that were sent
and have no result are sent again in the next stream. The transports open the streams, pass each response to
`AnalysisReader.read` and decide with `retry.StreamRetry` whether to go on; this module only keeps the state.

AnalyzeDocuments streams in both directions. gRPC reads the requests from an iterator, in a thread of its own
(`DocumentSource`) or a task (`AsyncDocumentSource`), and its flow control decides how far ahead of the results the
caller's documents are read. Memory holds these documents only (`PendingDocuments`). The reader of a stream that broke
may still be waiting for the caller's next document when the next stream starts. Therefore every stream takes documents
by their position: one that the old reader fetches late is there for the new stream. An exception of the caller's
iterator ends the requests, is kept in `failure`, and is raised after the last result.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from threading import Lock
from typing import Final, Literal

from qda.v1 import analysis_pb2, text_pb2
from qda_worker.client import from_proto, proto_enums
from qda_worker.client.analysis_tasks import (
    AnalysisTask,
    EmbeddingTask,
    EntityTask,
    SentimentTask,
    SyntaxTask,
)
from qda_worker.client.enums import LongTexts, Offsets, Priority, SyntaxLayer
from qda_worker.client.errors import InvalidRequest, ServerFailed, Violation
from qda_worker.client.item_problems import Problems, with_problem
from qda_worker.client.requests import embedding_options
from qda_worker.client.results import AnalysisProvenance, DocumentAnalysis
from qda_worker.client.texts import Text, check_is_list, iter_text_messages, text_message

# The field of the settings for each task that can be requested once.
_FIELDS: Final[dict[type, Literal["sentiment", "entities", "syntax"]]] = {
    SentimentTask: "sentiment",
    EntityTask: "entities",
    SyntaxTask: "syntax",
}
# The name of the caller's argument, for errors.
_DOCUMENTS: Final = "documents"


def analysis_settings(
    tasks: Sequence[AnalysisTask], *, offsets: Offsets, long_texts: LongTexts, priority: Priority | None
) -> analysis_pb2.AnalyzeDocumentsRequest:
    """Return the first message of a stream of documents; see `Client.analyze` for the arguments.

    Raises:
        InvalidRequest: when there is no task, one but embeddings is requested twice, or an argument is invalid.
    """
    settings = analysis_pb2.AnalyzeDocumentsSettings(
        long_text_policy=proto_enums.to_number(proto_enums.LONG_TEXTS, long_texts, "long_texts"),
        offset_encoding=proto_enums.to_number(proto_enums.OFFSETS, offsets, "offsets"),
    )
    if priority is not None:
        settings.priority = proto_enums.to_number(proto_enums.PRIORITIES, priority, "priority")
    for index, task in enumerate(tasks):
        _add_task(settings, task, f"tasks[{index}]")
    if not tasks:
        raise _invalid("tasks", "is empty; give at least one")
    return analysis_pb2.AnalyzeDocumentsRequest(settings=settings)


class PendingDocuments:
    """The documents that were read from the caller and have no result, by their position from 0.

    One thread (or task) adds and looks up documents to send; another removes those with a result.

    Attributes:
        added: number of documents that were read from the caller.
        answered: number of documents with a result; also the position of the oldest one without.
        problems: those that are not sent; an empty one is sent instead.
    """

    def __init__(self) -> None:
        self.added = 0
        self.answered = 0
        self.problems: Problems = {}
        self._documents: dict[int, text_pb2.Text] = {}

    def add(self, document: text_pb2.Text) -> None:
        """Add the caller's next document."""
        self._documents[self.added] = document
        self.added += 1

    def get(self, position: int) -> text_pb2.Text | None:
        """Return the document at a position; None if it was not read yet, or has a result."""
        return self._documents.get(position)

    def remove(self, position: int) -> None:
        """Remove the oldest document, whose result has arrived.

        Raises:
            ServerFailed: when the result is that of another document.
        """
        if position != self.answered or position not in self._documents:
            raise ServerFailed(
                f"the worker sent the result of document {position} instead of {self.answered}"
            )
        del self._documents[position]
        self.answered += 1


class AnalysisReader:
    """Reads the responses of one stream of documents, which starts with the oldest document without a result.

    Attributes:
        result_count: number of results of this stream.
    """

    def __init__(self, documents: PendingDocuments) -> None:
        self.result_count = 0
        self._documents = documents
        self._first = documents.answered
        self._provenance = AnalysisProvenance(None, None, ())
        self._offsets: Offsets | None = None
        self._layers: tuple[SyntaxLayer, ...] | None = None

    def read(self, response: analysis_pb2.AnalyzeDocumentsResponse) -> DocumentAnalysis | None:
        """Return the result in a response; None if it is the header.

        Raises:
            ServerFailed: when the result is not the next one.
        """
        match response.WhichOneof("part"):
            case "header":
                self._provenance = from_proto.analysis_provenance(response.header)
                self._offsets = from_proto.offset_unit(response.header.offset_encoding)
                layers = proto_enums.to_enums(proto_enums.SYNTAX_LAYERS, response.header.syntax_layers)
                self._layers = layers or None  # older workers do not send them
            case "result":
                position = self._first + response.result.index
                self._documents.remove(position)
                self.result_count += 1
                result = from_proto.document(
                    response.result, position, self._offsets, self._provenance, self._layers
                )
                return with_problem(result, self._documents.problems.pop(position, None))
        return None

    def end(self) -> None:
        """Check a stream that ended with the status OK.

        Raises:
            ServerFailed: when documents that were sent have no result.
        """
        missing = self._documents.added - self._documents.answered
        if missing:
            raise ServerFailed(f"the stream ended without the results of {missing} documents that were sent")


class DocumentSource:
    """Yields the requests of the sync client's streams, in gRPC's thread.

    Attributes:
        failure: the exception of the caller's iterator, if it raised one.
    """

    def __init__(self, texts: Iterable[str | Text], documents: PendingDocuments) -> None:
        self.failure: Exception | None = None
        self._messages = iter_text_messages(texts, documents.problems, _DOCUMENTS)
        self._documents = documents
        self._fetch_lock = Lock()

    def requests(
        self, settings: analysis_pb2.AnalyzeDocumentsRequest
    ) -> Iterator[analysis_pb2.AnalyzeDocumentsRequest]:
        """Yield the requests of one stream: settings, documents without a result, then the caller's next ones."""
        position = self._documents.answered
        yield settings
        while True:
            self._fetch(position)
            document = self._documents.get(position)
            if document is None:
                return
            yield analysis_pb2.AnalyzeDocumentsRequest(document=document)
            position += 1

    def _fetch(self, position: int) -> None:
        """Read the caller's next document, unless the one at `position` was read before."""
        if position < self._documents.added:
            return
        with self._fetch_lock:  # held by the reader of a broken stream while the caller's iterator blocks
            if position < self._documents.added or self.failure is not None:
                return
            try:
                message = next(self._messages, None)
            except Exception as error:  # noqa: BLE001 - raised in the caller's thread after the last result
                self.failure = error
                return
            if message is not None:
                self._documents.add(message)


class AsyncDocumentSource:
    """Yields the requests of the async client's streams, in a task of gRPC's; the caller's iterator may be async.

    Attributes:
        failure: the exception of the caller's iterator, if it raised one.
    """

    def __init__(
        self, texts: Iterable[str | Text] | AsyncIterable[str | Text], documents: PendingDocuments
    ) -> None:
        check_is_list(texts, _DOCUMENTS)
        self.failure: Exception | None = None
        self._texts = aiter(texts) if isinstance(texts, AsyncIterable) else _as_async(texts)
        self._documents = documents
        self._fetch_task: asyncio.Task[None] | None = None
        self._exhausted = False

    async def requests(
        self, settings: analysis_pb2.AnalyzeDocumentsRequest
    ) -> AsyncIterator[analysis_pb2.AnalyzeDocumentsRequest]:
        """Yield the requests of one stream; see `DocumentSource.requests`."""
        position = self._documents.answered
        yield settings
        while True:
            while position >= self._documents.added and not self._exhausted:
                if self._fetch_task is None or self._fetch_task.done():
                    self._fetch_task = asyncio.create_task(self._fetch())
                # Shielded, because gRPC cancels the reader of a broken stream. That must not cancel the caller's
                # generator, which the next stream needs.
                await asyncio.shield(self._fetch_task)
            document = self._documents.get(position)
            if document is None:
                return
            yield analysis_pb2.AnalyzeDocumentsRequest(document=document)
            position += 1

    async def close(self) -> None:
        """Stop waiting for the caller's next document."""
        if self._fetch_task is not None and not self._fetch_task.done():
            self._fetch_task.cancel()
            await asyncio.wait([self._fetch_task])

    async def _fetch(self) -> None:
        try:
            text = await anext(self._texts)
            documents = self._documents
            documents.add(text_message(text, documents.problems, _DOCUMENTS, documents.added))
        except StopAsyncIteration:
            self._exhausted = True
        except Exception as error:  # noqa: BLE001 - raised in the caller's task after the last result
            self.failure = error
            self._exhausted = True


async def _as_async(texts: Iterable[str | Text]) -> AsyncIterator[str | Text]:
    for text in texts:
        yield text


def _add_task(settings: analysis_pb2.AnalyzeDocumentsSettings, task: AnalysisTask, path: str) -> None:
    if isinstance(task, EmbeddingTask):
        options = embedding_options(task.kinds, task.normalize, task.dimensions, task.numbers)
        settings.embeddings.append(
            analysis_pb2.EmbeddingTask(model=task.model, options=options, prompt_name=task.prompt_name)
        )
        return
    field = _FIELDS.get(type(task))
    if field is not None and settings.HasField(field):
        raise _invalid(path, "requests the same task a second time")
    if isinstance(task, SentimentTask):
        settings.sentiment.CopyFrom(
            analysis_pb2.SentimentTask(model=task.model, include_sentences=task.sentences)
        )
    elif isinstance(task, EntityTask):
        scheme = proto_enums.to_number(proto_enums.LABEL_SCHEMES, task.label_scheme, f"{path}.label_scheme")
        settings.entities.CopyFrom(
            analysis_pb2.EntityTask(model=task.model, label_scheme=scheme, labels=task.labels)
        )
    elif isinstance(task, SyntaxTask):
        layers = proto_enums.to_numbers(proto_enums.SYNTAX_LAYERS, task.layers, f"{path}.layers")
        settings.syntax.CopyFrom(analysis_pb2.SyntaxTask(model=task.model, layers=layers))


def _invalid(field: str, description: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {description}", violations=[Violation(field, description)])
