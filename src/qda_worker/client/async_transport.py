"""Carries requests to a worker and responses back, in an event loop; what they hold is made and read elsewhere."""

# ruff: noqa: ASYNC109 - a deadline of gRPC's travels to the worker; `asyncio.timeout` around the call would not

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from itertools import islice
from typing import TypeAlias, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from qda.v1 import analysis_pb2, embedding_pb2, paraphrase_pb2
from qda_worker.client import requests
from qda_worker.client.channel import Settings, channel_options, credentials
from qda_worker.client.errors import CallCancelled, ClientError
from qda_worker.client.grpc_errors import client_error
from qda_worker.client.paraphrase_search import Collection
from qda_worker.client.results import Answer, DocumentAnalysis, Embedding, Paraphrases
from qda_worker.client.retry import RetryBudget, StreamRetry, WorkerAvailability
from qda_worker.client.streams import AsyncDocumentSource, StreamAnswers, UnansweredDocuments, VectorStreams
from qda_worker.client.texts import Text

Q = TypeVar("Q", bound=Message)
S = TypeVar("S")
P = TypeVar("P", bound=requests.Response)
R = TypeVar("R")

StreamMethod: TypeAlias = (
    "grpc.aio.UnaryStreamMultiCallable[embedding_pb2.EmbedStreamRequest, embedding_pb2.EmbedStreamResponse]"
)


class AsyncCalls:
    """One channel, and the ways in which calls go over it."""

    def __init__(self, settings: Settings) -> None:
        options = channel_options(settings)
        if settings.tls is None:
            self._channel = grpc.aio.insecure_channel(settings.uri, options)
        else:
            self._channel = grpc.aio.secure_channel(settings.uri, credentials(settings.tls), options)
        self._settings = settings
        self._metadata = settings.metadata()
        self._contact = WorkerAvailability(settings.target)
        self._closed = False

    async def close(self) -> None:
        """Cancels what is under way and ends the connection."""
        self._closed = True
        await self._channel.close()

    def channel(self) -> grpc.aio.Channel:
        """The channel, while it is open."""
        if self._closed:
            raise CallCancelled("the client is closed")
        return self._channel

    async def ask(self, method: "grpc.aio.UnaryUnaryMultiCallable[Q, S]", request: Q, timeout: float) -> S:
        """One request and its response. Who is asked about itself is not waited for."""
        return await self._send(method, request, RetryBudget(self._contact, timeout, patience=0.0))

    async def _send(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Q, S]", request: Q, tries: RetryBudget
    ) -> S:
        """One request, sent again within its deadline while that can help."""
        while True:
            call = method(request, timeout=tries.begin(), metadata=self._metadata)
            try:
                response = await call
            except grpc.RpcError as error:
                failure = client_error(error, self._settings.target)
                pause = tries.pause(failure)
                if pause is None:
                    raise tries.outcome(failure) from error
                await self._wait(pause)
            except asyncio.CancelledError as error:
                self._tell_who_cancelled(error)
                raise
            else:
                tries.succeeded()
                return response

    async def run(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Q, P]",
        job: requests.Job[Q, P, R],
        timeout: float | None,
        progress: requests.Progress | None,
    ) -> Answer[R]:
        """A job's requests, `in_flight` of them at once; the responses are taken in their order."""
        seconds = self._settings.timeout if timeout is None else timeout
        gathering = requests.ResultCollector(job.read)
        remaining = iter(job.requests)
        window: deque[tuple[asyncio.Task[P], int]] = deque()
        try:
            while True:
                for request, items in islice(remaining, self._settings.in_flight - len(window)):
                    sending = self._send(method, request, RetryBudget(self._contact, seconds))
                    window.append((asyncio.create_task(sending), items))
                if not window:
                    return gathering.answer()
                flight, items = window[0]
                gathering.add(await flight, items)
                window.popleft()
                if progress is not None:
                    progress(len(gathering.results), job.items)
        except ClientError as error:
            error.partial = gathering.answer() if gathering.results else None
            raise
        finally:
            for flight, _ in window:
                flight.cancel()
            await asyncio.gather(*(flight for flight, _ in window), return_exceptions=True)

    async def vectors(
        self, method: StreamMethod, streams: VectorStreams, timeout: float | None
    ) -> AsyncIterator[Embedding]:
        """The results of one stream after the other, until all texts have theirs."""
        seconds = self._settings.stream_timeout if timeout is None else timeout
        resuming = StreamRetry(self._contact, min(seconds, self._settings.timeout))
        while (request := streams.request()) is not None:
            call = method(request, timeout=seconds, metadata=self._metadata)
            try:
                async for response in call:
                    self._contact.answered()
                    result = streams.read(response)
                    if result is not None:
                        yield result
                streams.end()
            except grpc.RpcError as error:
                failure = client_error(error, self._settings.target)
                pause = resuming.pause(failure, fruitful=streams.fruitful)
                if pause is None:
                    raise failure from error
                await self._wait(pause)
            except asyncio.CancelledError as error:
                self._tell_who_cancelled(error)
                raise
            finally:
                call.cancel()

    async def all_vectors(
        self,
        method: StreamMethod,
        streams: VectorStreams,
        timeout: float | None,
        progress: Callable[[int], None] | None,
    ) -> Answer[Embedding]:
        """The same as one answer; `progress` is told how many texts are done."""
        results: list[Embedding] = []
        try:
            async for result in self.vectors(method, streams, timeout):
                results.append(result)
                if progress is not None:
                    progress(len(results))
        except ClientError as error:
            error.partial = streams.answer(results) if results else None
            raise
        return streams.answer(results)

    async def search(
        self,
        method: "grpc.aio.StreamStreamMultiCallable[paraphrase_pb2.FindParaphrasesRequest, "
        "paraphrase_pb2.FindParaphrasesResponse]",
        parts: Sequence[paraphrase_pb2.FindParaphrasesRequest],
        timeout: float | None,
    ) -> Paraphrases:
        """One search. What breaks, also in the midst of its pairs, begins anew; pairs of two tries are never mixed."""
        seconds = self._settings.stream_timeout if timeout is None else timeout
        tries = RetryBudget(self._contact, seconds, min(seconds, self._settings.timeout))
        while True:
            collection = Collection()
            call = method(iter(parts), timeout=tries.begin(), metadata=self._metadata)
            try:
                async for response in call:
                    self._contact.answered()
                    collection.add(response)
                return collection.paraphrases()
            except grpc.RpcError as error:
                failure = client_error(error, self._settings.target)
                pause = tries.pause(failure, answering=collection.begun)
                if pause is None:
                    raise tries.outcome(failure) from error
                await self._wait(pause)
            except asyncio.CancelledError as error:
                self._tell_who_cancelled(error)
                raise
            finally:
                call.cancel()  # does nothing to a call that has ended

    async def analyze(
        self,
        method: "grpc.aio.StreamStreamMultiCallable[analysis_pb2.AnalyzeDocumentsRequest, "
        "analysis_pb2.AnalyzeDocumentsResponse]",
        settings: analysis_pb2.AnalyzeDocumentsRequest,
        documents: Iterable[str | Text] | AsyncIterable[str | Text],
        timeout: float | None,
    ) -> AsyncIterator[DocumentAnalysis]:
        """The results of one stream after the other, until all documents have theirs."""
        seconds = self._settings.stream_timeout if timeout is None else timeout
        waiting = UnansweredDocuments()
        source = AsyncDocumentSource(documents, waiting)
        try:
            async for result in self._streams(method, settings, source, waiting, seconds):
                yield result
        finally:
            await source.close()
        if source.failure is not None:
            raise source.failure

    async def _streams(
        self,
        method: "grpc.aio.StreamStreamMultiCallable[analysis_pb2.AnalyzeDocumentsRequest, "
        "analysis_pb2.AnalyzeDocumentsResponse]",
        settings: analysis_pb2.AnalyzeDocumentsRequest,
        source: AsyncDocumentSource,
        waiting: UnansweredDocuments,
        seconds: float,
    ) -> AsyncIterator[DocumentAnalysis]:
        resuming = StreamRetry(self._contact, min(seconds, self._settings.timeout))
        while True:
            answers = StreamAnswers(waiting)
            call = method(source.parts(settings), timeout=seconds, metadata=self._metadata)
            try:
                async for response in call:
                    self._contact.answered()
                    result = answers.read(response)
                    if result is not None:
                        yield result
                answers.end()
            except grpc.RpcError as error:
                failure = client_error(error, self._settings.target)
                pause = resuming.pause(failure, fruitful=answers.results > 0)
                if pause is None:
                    raise failure from error
                await self._wait(pause)
            except asyncio.CancelledError as error:
                self._tell_who_cancelled(error)
                raise
            else:
                return
            finally:
                call.cancel()

    async def _wait(self, seconds: float) -> None:
        """Waits between two tries. Raises CallCancelled if the client was closed meanwhile."""
        await asyncio.sleep(seconds)
        if self._closed:
            raise CallCancelled("the client was closed")

    def _tell_who_cancelled(self, error: asyncio.CancelledError) -> None:
        """gRPC cancels the calls of a channel that is closed; that is not the cancelling of the task that waits."""
        if self._closed:
            raise CallCancelled("the client was closed") from error
