"""Send the requests of the async client and receive the responses.

Owns the `grpc.aio` channel and the availability of the worker (`retry.WorkerAvailability`), which all calls share. The
requests are built and the responses are read elsewhere (`requests`, `document_stream`, `vector_stream`,
`paraphrase_search`). Everything runs in the event loop in which the client was created: the requests of a long list are
tasks, streams are read by the caller's task. A failed call becomes a `ClientError`, and `retry` decides whether it is
sent again. Cancelling the caller's task cancels its calls; closing the channel cancels all calls, which then raise
`CallCancelled`. `sync_transport` is the same with threads.
"""

# ruff: noqa: ASYNC109 - gRPC sends a timeout to the worker as the call's deadline; `asyncio.timeout` would not

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from itertools import islice
from typing import TYPE_CHECKING, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

from qda.v1 import analysis_pb2, embedding_pb2
from qda.v1.analysis_pb2_grpc import AnalysisServiceStub
from qda.v1.embedding_pb2_grpc import EmbeddingServiceStub
from qda.v1.entity_pb2_grpc import EntityServiceStub
from qda.v1.model_pb2_grpc import ModelServiceStub
from qda.v1.paraphrase_pb2_grpc import ParaphraseServiceStub
from qda.v1.sentiment_pb2_grpc import SentimentServiceStub
from qda.v1.syntax_pb2_grpc import SyntaxServiceStub
from qda_worker.client import health
from qda_worker.client.channel import Settings, channel_options, credentials
from qda_worker.client.document_stream import AnalysisReader, AsyncDocumentSource, PendingDocuments
from qda_worker.client.errors import CallCancelled, ClientError
from qda_worker.client.grpc_errors import client_error
from qda_worker.client.paraphrase_search import ParaphraseCollector, Search
from qda_worker.client.proxy import find_proxy
from qda_worker.client.requests import ChunkedRequest, OnResults, Progress, R, Response, ResultCollector
from qda_worker.client.results import Answer, DocumentAnalysis, Embedding, Paraphrases
from qda_worker.client.retry import RetryBudget, StreamRetry, WorkerAvailability
from qda_worker.client.texts import Text
from qda_worker.client.vector_stream import VectorStreams

if TYPE_CHECKING:
    from qda.v1.analysis_pb2_grpc import AnalysisServiceAsyncStub
    from qda.v1.embedding_pb2_grpc import EmbeddingServiceAsyncStub
    from qda.v1.entity_pb2_grpc import EntityServiceAsyncStub
    from qda.v1.model_pb2_grpc import ModelServiceAsyncStub
    from qda.v1.paraphrase_pb2_grpc import ParaphraseServiceAsyncStub
    from qda.v1.sentiment_pb2_grpc import SentimentServiceAsyncStub
    from qda.v1.syntax_pb2_grpc import SyntaxServiceAsyncStub

Q = TypeVar("Q", bound=Message)
S = TypeVar("S")
P = TypeVar("P", bound=Response)


class AsyncTransport:
    """The channel of one async client, and the ways to send calls over it."""

    def __init__(self, settings: Settings) -> None:
        """Create the channel; gRPC connects when the first call is sent.

        Raises:
            InvalidSettings: when a TLS file cannot be used.
        """
        options = channel_options(settings)
        if settings.tls is None:
            self._channel = grpc.aio.insecure_channel(settings.uri, options)
        else:
            self._channel = grpc.aio.secure_channel(settings.uri, credentials(settings.tls), options)
        self._settings = settings
        self._availability = WorkerAvailability(settings.target)
        self._proxy = find_proxy(settings.uri, os.environ)
        self._closed = False

    async def close(self) -> None:
        """Close the channel, which cancels all calls in progress."""
        self._closed = True
        await self._channel.close()

    # The stubs. Each raises CallCancelled if the client is closed. The generated classes serve both kinds of channels;
    # the casts give the type checker the async one.

    def models(self) -> "ModelServiceAsyncStub":
        """Return the stub of ModelService."""
        return cast("ModelServiceAsyncStub", ModelServiceStub(self._open_channel()))

    def sentiment(self) -> "SentimentServiceAsyncStub":
        """Return the stub of SentimentService."""
        return cast("SentimentServiceAsyncStub", SentimentServiceStub(self._open_channel()))

    def entities(self) -> "EntityServiceAsyncStub":
        """Return the stub of EntityService."""
        return cast("EntityServiceAsyncStub", EntityServiceStub(self._open_channel()))

    def syntax(self) -> "SyntaxServiceAsyncStub":
        """Return the stub of SyntaxService."""
        return cast("SyntaxServiceAsyncStub", SyntaxServiceStub(self._open_channel()))

    def embeddings(self) -> "EmbeddingServiceAsyncStub":
        """Return the stub of EmbeddingService."""
        return cast("EmbeddingServiceAsyncStub", EmbeddingServiceStub(self._open_channel()))

    def paraphrases(self) -> "ParaphraseServiceAsyncStub":
        """Return the stub of ParaphraseService."""
        return cast("ParaphraseServiceAsyncStub", ParaphraseServiceStub(self._open_channel()))

    def health_check(self) -> "grpc.aio.UnaryUnaryMultiCallable[StringValue, Int32Value]":
        """Return the method of the standard health service."""
        return self._open_channel().unary_unary(
            health.CHECK_METHOD,
            request_serializer=health.serialize_request,
            response_deserializer=health.deserialize_response,
        )

    # The kinds of calls.

    async def call(self, method: "grpc.aio.UnaryUnaryMultiCallable[Q, S]", request: Q, timeout: float) -> S:
        """Send one request about the worker itself and return its response.

        Such a call does not wait for a worker that is unreachable or not ready: the caller wants to know just that.

        Args:
            method: the method of a stub.
            request: its request.
            timeout: seconds.

        Raises:
            ClientError: when the call fails.
        """
        return await self._call(method, request, RetryBudget(self._availability, timeout, 0.0))

    async def call_chunked(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[Q, P]",
        request: ChunkedRequest[Q, P, R],
        timeout: float | None,
        progress: Progress | None,
        on_results: OnResults[R] | None = None,
    ) -> Answer[R]:
        """Send the requests of one list, `Settings.in_flight` of them concurrently, and return all results.

        Args:
            method: the method of a stub.
            request: the list.
            timeout: seconds for each request; None: `Settings.timeout`.
            progress: called after each response, in the order of the requests.
            on_results: called with the results of each response, in the order of the requests; if the call ends early,
                also with those of later requests that have been answered.

        Raises:
            ClientError: when one request fails; `partial` holds the results before it. The others are cancelled.
        """
        seconds = self._settings.timeout if timeout is None else timeout
        collector = ResultCollector(request, on_results)
        chunks = iter(request.chunks)
        in_flight: deque[tuple[asyncio.Task[P], int]] = deque()
        try:
            while True:
                for chunk, item_count in islice(chunks, self._settings.in_flight - len(in_flight)):
                    call = self._call(method, chunk, RetryBudget(self._availability, seconds))
                    in_flight.append((asyncio.create_task(call), item_count))
                if not in_flight:
                    return collector.answer()
                task, item_count = in_flight[0]
                response = await task
                in_flight.popleft()
                collector.add(response, item_count)
                if progress is not None:
                    progress(len(collector.results), request.item_count)
        except BaseException as error:
            if isinstance(error, ClientError):
                error.partial = collector.answer() if collector.results else None
            collector.deliver_later((_response_or_none(task), item_count) for task, item_count in in_flight)
            raise
        finally:
            for task, _ in in_flight:
                task.cancel()
            await asyncio.gather(*(task for task, _ in in_flight), return_exceptions=True)

    def embed_stream(self, streams: VectorStreams, timeout: float | None) -> AsyncIterator[Embedding]:
        """Open one EmbedStream after the other until all texts have their vectors, and yield these.

        Args:
            streams: the requests.
            timeout: seconds for each stream; None: `Settings.stream_timeout`.

        Raises:
            ClientError: when a stream fails and is not continued; at once, if the client is closed.
        """
        return self._embed_stream(self.embeddings().EmbedStream, streams, timeout)

    async def embed_stream_answer(
        self,
        streams: VectorStreams,
        timeout: float | None,
        progress: Callable[[int], None] | None,
        on_results: OnResults[Embedding] | None = None,
    ) -> Answer[Embedding]:
        """Return the results of `embed_stream` as one answer.

        Args:
            streams: the requests.
            timeout: seconds for each stream; None: `Settings.stream_timeout`.
            progress: called after each result with the number of results.
            on_results: called with each result, and the models so far; the timings are only in the answer.

        Raises:
            ClientError: when a stream fails and is not continued; `partial` holds the results before it.
        """
        results: list[Embedding] = []
        try:
            async for result in self.embed_stream(streams, timeout):
                results.append(result)
                if on_results is not None:
                    on_results(len(results) - 1, streams.single_answer(result))
                if progress is not None:
                    progress(len(results))
        except ClientError as error:
            error.partial = streams.answer(results) if results else None
            raise
        return streams.answer(results)

    async def find_paraphrases(self, search: Search, timeout: float | None) -> Paraphrases:
        """Run one search. If its stream breaks, it starts from the beginning.

        Args:
            search: the request.
            timeout: seconds for all attempts; None: `Settings.stream_timeout`.

        Raises:
            ClientError: when the search fails.
        """
        method = self.paraphrases().FindParaphrases
        seconds = self._settings.stream_timeout if timeout is None else timeout
        budget = RetryBudget(self._availability, seconds, min(seconds, self._settings.timeout))
        while True:
            collector = ParaphraseCollector(search)
            call = method(
                iter(search.messages), timeout=budget.start_attempt(), metadata=self._settings.metadata()
            )
            try:
                async for response in call:
                    self._availability.record_success()
                    collector.add(response)
                return collector.result()
            except grpc.RpcError as error:
                failure = client_error(error, self._settings.target, self._proxy)
                delay = budget.next_delay(failure, mid_response=collector.started)
                if delay is None:
                    raise budget.final_error(failure) from error
                await self._sleep(delay)
            except asyncio.CancelledError as error:
                self._raise_if_closed(error)
                raise
            finally:
                call.cancel()  # has no effect on a call that has ended

    def analyze_documents(
        self,
        settings: analysis_pb2.AnalyzeDocumentsRequest,
        documents: Iterable[str | Text] | AsyncIterable[str | Text],
        timeout: float | None,
    ) -> AsyncIterator[DocumentAnalysis]:
        """Open one AnalyzeDocuments stream after the other until all documents have their results, and yield these.

        Args:
            settings: the first message of each stream.
            documents: the caller's documents.
            timeout: seconds for each stream; None: `Settings.stream_timeout`.

        Raises:
            ClientError: when a stream fails and is not continued; at once, if the client is closed.
            Exception: that of the iterator `documents`, after the last result.
        """
        stub = cast("AnalysisServiceAsyncStub", AnalysisServiceStub(self._open_channel()))
        return self._analyze_documents(stub.AnalyzeDocuments, settings, documents, timeout)

    async def _call(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Q, S]", request: Q, budget: RetryBudget
    ) -> S:
        """Send one request, again if that can help, and return its response."""
        while True:
            call = method(request, timeout=budget.start_attempt(), metadata=self._settings.metadata())
            try:
                response = await call
            except grpc.RpcError as error:
                failure = client_error(error, self._settings.target, self._proxy)
                delay = budget.next_delay(failure)
                if delay is None:
                    raise budget.final_error(failure) from error
                await self._sleep(delay)
            except asyncio.CancelledError as error:
                self._raise_if_closed(error)
                raise
            else:
                budget.record_success()
                return response

    async def _embed_stream(
        self,
        method: "grpc.aio.UnaryStreamMultiCallable[embedding_pb2.EmbedStreamRequest, "
        "embedding_pb2.EmbedStreamResponse]",
        streams: VectorStreams,
        timeout: float | None,
    ) -> AsyncIterator[Embedding]:
        seconds = self._settings.stream_timeout if timeout is None else timeout
        retry = StreamRetry(self._availability, min(seconds, self._settings.timeout))
        while (request := streams.next_request()) is not None:
            call = method(request, timeout=seconds, metadata=self._settings.metadata())
            try:
                async for response in call:
                    self._availability.record_success()
                    result = streams.read(response)
                    if result is not None:
                        yield result
                streams.end()
            except grpc.RpcError as error:
                failure = client_error(error, self._settings.target, self._proxy)
                delay = retry.next_delay(failure, made_progress=streams.made_progress)
                if delay is None:
                    raise failure from error
                await self._sleep(delay)
            except asyncio.CancelledError as error:
                self._raise_if_closed(error)
                raise
            finally:
                call.cancel()

    async def _analyze_documents(
        self,
        method: "grpc.aio.StreamStreamMultiCallable[analysis_pb2.AnalyzeDocumentsRequest, "
        "analysis_pb2.AnalyzeDocumentsResponse]",
        settings: analysis_pb2.AnalyzeDocumentsRequest,
        documents: Iterable[str | Text] | AsyncIterable[str | Text],
        timeout: float | None,
    ) -> AsyncIterator[DocumentAnalysis]:
        seconds = self._settings.stream_timeout if timeout is None else timeout
        pending = PendingDocuments()
        source = AsyncDocumentSource(documents, pending)
        retry = StreamRetry(self._availability, min(seconds, self._settings.timeout))
        ended = False
        try:
            while not ended:
                reader = AnalysisReader(pending)
                call = method(source.requests(settings), timeout=seconds, metadata=self._settings.metadata())
                try:
                    async for response in call:
                        self._availability.record_success()
                        result = reader.read(response)
                        if result is not None:
                            yield result
                    reader.end()
                    ended = True
                except grpc.RpcError as error:
                    failure = client_error(error, self._settings.target, self._proxy)
                    delay = retry.next_delay(failure, made_progress=reader.result_count > 0)
                    if delay is None:
                        raise failure from error
                    await self._sleep(delay)
                except asyncio.CancelledError as error:
                    self._raise_if_closed(error)
                    raise
                finally:
                    call.cancel()
        finally:
            await source.close()
        if source.failure is not None:
            raise source.failure

    def _open_channel(self) -> grpc.aio.Channel:
        if self._closed:
            raise CallCancelled("the client is closed")
        return self._channel

    async def _sleep(self, seconds: float) -> None:
        """Wait between two attempts; raise CallCancelled if the client was closed meanwhile."""
        await asyncio.sleep(seconds)
        if self._closed:
            raise CallCancelled("the client was closed")

    def _raise_if_closed(self, error: asyncio.CancelledError) -> None:
        """Raise CallCancelled if gRPC cancelled the call because the channel was closed, not the caller its task."""
        if self._closed:
            raise CallCancelled("the client was closed") from error


def _response_or_none(task: asyncio.Task[P]) -> P | None:
    """Return the response that a task has brought; None if it has not, or has failed."""
    return task.result() if task.done() and not task.cancelled() and task.exception() is None else None
