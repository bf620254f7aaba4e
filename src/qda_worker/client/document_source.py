"""The caller's iterator of documents, read by gRPC's own thread or by a task, so that a stream can break and go on.

The reader of a stream that broke may still be waiting for the caller's next document when the next stream begins.
So each stream asks by position: a document that the old reader fetched too late is there for the new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from threading import Lock

from qda.v1 import analysis_pb2
from qda_worker.client.document_stream import UnansweredDocuments
from qda_worker.client.texts import Text, iter_text_messages, text_message

NAME = "documents"
"""What errors call the caller's list."""


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
