"""Send the requests of the sync client and receive the responses.

Owns the gRPC channel and the availability of the worker (`retry.WorkerAvailability`), which all calls share. The
requests are built and the responses are read elsewhere (`requests`, `document_stream`, `vector_stream`,
`paraphrase_search`). Everything runs in the caller's thread, and several threads may call at the same time. The
requests of a long list are concurrent (`sync_calls`); only the documents of `analyze` are read by a thread of gRPC's. A
failed call becomes a `ClientError`, and `retry` decides whether it is sent again. Closing the
channel cancels all calls and ends all waits between attempts; they raise `CallCancelled`. `async_transport` is the same
for event loops.
"""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from threading import Event, Lock
from typing import Any, TypeVar

import grpc
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
from qda_worker.client.document_stream import AnalysisReader, DocumentSource, PendingDocuments
from qda_worker.client.errors import CallCancelled, ClientError
from qda_worker.client.grpc_errors import client_error
from qda_worker.client.paraphrase_search import ParaphraseCollector, Search
from qda_worker.client.proxy import find_proxy
from qda_worker.client.requests import ChunkedRequest, OnResults, Progress, R, Response, ResultCollector
from qda_worker.client.results import Answer, DocumentAnalysis, Embedding, Paraphrases
from qda_worker.client.retry import RetryBudget, StreamRetry, WorkerAvailability
from qda_worker.client.sync_calls import WAIT_PIECE, PendingCall, PendingCalls
from qda_worker.client.texts import Text
from qda_worker.client.vector_stream import VectorStreams

Q = TypeVar("Q", bound=Message)
S = TypeVar("S")
P = TypeVar("P", bound=Response)


class SyncTransport:
    """The channel of one sync client, and the ways to send calls over it."""

    def __init__(self, settings: Settings) -> None:
        """Create the channel; gRPC connects when the first call is sent.

        Raises:
            InvalidSettings: when a TLS file cannot be used.
        """
        options = channel_options(settings)
        if settings.tls is None:
            self._channel = grpc.insecure_channel(settings.uri, options)
        else:
            self._channel = grpc.secure_channel(settings.uri, credentials(settings.tls), options)
        self._settings = settings
        self._availability = WorkerAvailability(settings.target)
        self._proxy = find_proxy(settings.uri, os.environ)
        self._closed = Event()
        self._waiting: set[PendingCalls[Any, Any]] = set()
        self._waiting_lock = Lock()

    def close(self) -> None:
        """Close the channel, which cancels all calls in progress."""
        self._closed.set()
        self._channel.close()
        with self._waiting_lock:
            for calls in self._waiting:
                calls.wake()

    # The stubs. Each raises CallCancelled if the client is closed.

    def models(self) -> ModelServiceStub:
        """Return the stub of ModelService."""
        return ModelServiceStub(self._open_channel())

    def sentiment(self) -> SentimentServiceStub:
        """Return the stub of SentimentService."""
        return SentimentServiceStub(self._open_channel())

    def entities(self) -> EntityServiceStub:
        """Return the stub of EntityService."""
        return EntityServiceStub(self._open_channel())

    def syntax(self) -> SyntaxServiceStub:
        """Return the stub of SyntaxService."""
        return SyntaxServiceStub(self._open_channel())

    def embeddings(self) -> EmbeddingServiceStub:
        """Return the stub of EmbeddingService."""
        return EmbeddingServiceStub(self._open_channel())

    def paraphrases(self) -> ParaphraseServiceStub:
        """Return the stub of ParaphraseService."""
        return ParaphraseServiceStub(self._open_channel())

    def health_check(self) -> "grpc.UnaryUnaryMultiCallable[StringValue, Int32Value]":
        """Return the method of the standard health service."""
        return self._open_channel().unary_unary(
            health.CHECK_METHOD,
            request_serializer=health.serialize_request,
            response_deserializer=health.deserialize_response,
        )

    # The kinds of calls.

    def call(self, method: "grpc.UnaryUnaryMultiCallable[Q, S]", request: Q, timeout: float) -> S:
        """Send one request about the worker itself and return its response.

        Such a call does not wait for a worker that is unreachable or not ready: the caller wants to know just that.

        Args:
            method: the method of a stub.
            request: its request.
            timeout: seconds.

        Raises:
            ClientError: when the call fails.
        """
        with self._pending_calls(method) as calls:
            return calls.result(calls.start(request, RetryBudget(self._availability, timeout, 0.0)))

    def call_chunked(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Q, P]",
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
        in_flight: deque[tuple[PendingCall[Q, P], int]] = deque()
        with self._pending_calls(method) as calls:
            try:
                while True:
                    for chunk, item_count in islice(chunks, self._settings.in_flight - len(in_flight)):
                        call = calls.start(chunk, RetryBudget(self._availability, seconds))
                        in_flight.append((call, item_count))
                    if not in_flight:
                        return collector.answer()
                    call, item_count = in_flight[0]
                    response = calls.result(call)
                    in_flight.popleft()
                    collector.add(response, item_count)
                    if progress is not None:
                        progress(len(collector.results), request.item_count)
            except BaseException as error:
                if isinstance(error, ClientError):
                    error.partial = collector.answer() if collector.results else None
                calls.read_arrived(call for call, _ in in_flight)
                collector.deliver_later((call.response, item_count) for call, item_count in in_flight)
                raise
            finally:
                for call, _ in in_flight:
                    call.future.cancel()

    def embed_stream(self, streams: VectorStreams, timeout: float | None) -> Iterator[Embedding]:
        """Open one EmbedStream after the other until all texts have their vectors, and yield these.

        Args:
            streams: the requests.
            timeout: seconds for each stream; None: `Settings.stream_timeout`.

        Raises:
            ClientError: when a stream fails and is not continued; at once, if the client is closed.
        """
        return self._embed_stream(self.embeddings().EmbedStream, streams, timeout)

    def embed_stream_answer(
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
            for result in self.embed_stream(streams, timeout):
                results.append(result)
                if on_results is not None:
                    on_results(len(results) - 1, streams.single_answer(result))
                if progress is not None:
                    progress(len(results))
        except ClientError as error:
            error.partial = streams.answer(results) if results else None
            raise
        return streams.answer(results)

    def find_paraphrases(self, search: Search, timeout: float | None) -> Paraphrases:
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
            call = self._start(method, iter(search.messages), budget.start_attempt())
            try:
                for response in call:
                    self._availability.record_success()
                    collector.add(response)
                return collector.result()
            except grpc.RpcError as error:
                failure = self._failure(error)
                delay = budget.next_delay(failure, mid_response=collector.started)
                if delay is None:
                    raise budget.final_error(failure) from error
                self._sleep(delay)
            finally:
                call.cancel()  # has no effect on a call that has ended

    def analyze_documents(
        self,
        settings: analysis_pb2.AnalyzeDocumentsRequest,
        documents: Iterable[str | Text],
        timeout: float | None,
    ) -> Iterator[DocumentAnalysis]:
        """Open one AnalyzeDocuments stream after the other until all documents have their results, and yield these.

        Args:
            settings: the first message of each stream.
            documents: the caller's documents.
            timeout: seconds for each stream; None: `Settings.stream_timeout`.

        Raises:
            ClientError: when a stream fails and is not continued; at once, if the client is closed.
            Exception: that of the iterator `documents`, after the last result.
        """
        stub = AnalysisServiceStub(self._open_channel())
        return self._analyze_documents(stub.AnalyzeDocuments, settings, documents, timeout)

    @contextmanager
    def _pending_calls(self, method: "grpc.UnaryUnaryMultiCallable[Q, S]") -> "Iterator[PendingCalls[Q, S]]":
        """Provide the calls of this thread; they are woken when the client is closed."""

        def send(request: Q, timeout: float) -> Any:
            return self._start(method.future, request, timeout)

        calls: PendingCalls[Q, S] = PendingCalls(send, self._failure)
        with self._waiting_lock:
            self._waiting.add(calls)
        try:
            yield calls
        finally:
            with self._waiting_lock:
                self._waiting.discard(calls)

    def _embed_stream(
        self,
        method: "grpc.UnaryStreamMultiCallable[embedding_pb2.EmbedStreamRequest, "
        "embedding_pb2.EmbedStreamResponse]",
        streams: VectorStreams,
        timeout: float | None,
    ) -> Iterator[Embedding]:
        seconds = self._settings.stream_timeout if timeout is None else timeout
        retry = StreamRetry(self._availability, min(seconds, self._settings.timeout))
        while (request := streams.next_request()) is not None:
            call = self._start(method, request, seconds)
            try:
                for response in call:
                    self._availability.record_success()
                    result = streams.read(response)
                    if result is not None:
                        yield result
                streams.end()
            except grpc.RpcError as error:
                failure = self._failure(error)
                delay = retry.next_delay(failure, made_progress=streams.made_progress)
                if delay is None:
                    raise failure from error
                self._sleep(delay)
            finally:
                call.cancel()

    def _analyze_documents(
        self,
        method: "grpc.StreamStreamMultiCallable[analysis_pb2.AnalyzeDocumentsRequest, "
        "analysis_pb2.AnalyzeDocumentsResponse]",
        settings: analysis_pb2.AnalyzeDocumentsRequest,
        documents: Iterable[str | Text],
        timeout: float | None,
    ) -> Iterator[DocumentAnalysis]:
        seconds = self._settings.stream_timeout if timeout is None else timeout
        pending = PendingDocuments()
        source = DocumentSource(documents, pending)
        retry = StreamRetry(self._availability, min(seconds, self._settings.timeout))
        ended = False
        while not ended:
            reader = AnalysisReader(pending)
            call = self._start(method, source.requests(settings), seconds)
            try:
                for response in call:
                    self._availability.record_success()
                    result = reader.read(response)
                    if result is not None:
                        yield result
                reader.end()
                ended = True
            except grpc.RpcError as error:
                failure = self._failure(error)
                delay = retry.next_delay(failure, made_progress=reader.result_count > 0)
                if delay is None:
                    raise failure from error
                self._sleep(delay)
            finally:
                call.cancel()
        if source.failure is not None:
            raise source.failure

    def _start(self, method: Callable[..., Any], request: object, timeout: float) -> Any:
        """Start a call, or raise CallCancelled if the client is closed, also if another thread closes it just now."""
        self._open_channel()
        try:
            return method(request, timeout=timeout, metadata=self._settings.metadata())
        except ValueError:
            self._open_channel()  # gRPC's error about a closed channel
            raise

    def _open_channel(self) -> grpc.Channel:
        if self._closed.is_set():
            raise CallCancelled("the client is closed")
        return self._channel

    def _failure(self, error: grpc.RpcError) -> ClientError:
        """Return the client's error for one of gRPC's."""
        if self._closed.is_set() and error.code() is grpc.StatusCode.CANCELLED:
            return CallCancelled("the client was closed")
        return client_error(error, self._settings.target, self._proxy)

    def _sleep(self, seconds: float) -> None:
        """Wait between two attempts; raise CallCancelled as soon as the client is closed."""
        end = time.monotonic() + seconds
        while (remaining := end - time.monotonic()) > 0:
            if self._closed.wait(min(remaining, WAIT_PIECE)):
                break
        if self._closed.is_set():
            raise CallCancelled("the client was closed")
