"""Carries requests to a worker and responses back, one thread waiting; what they hold is made and read elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Generic, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message

from qda.v1 import analysis_pb2, embedding_pb2, paraphrase_pb2
from qda_worker.client import jobs, retries
from qda_worker.client.analysis import DocumentAnalysis
from qda_worker.client.channel import Settings, channel_options, credentials
from qda_worker.client.document_source import DocumentSource
from qda_worker.client.document_stream import StreamAnswers, UnansweredDocuments
from qda_worker.client.errors import CallCancelled, ClientError
from qda_worker.client.paraphrase_search import Collection
from qda_worker.client.paraphrases import Paraphrases
from qda_worker.client.refusals import client_error
from qda_worker.client.results import Answer, Embedding
from qda_worker.client.texts import Text
from qda_worker.client.vector_stream import VectorStreams

Q = TypeVar("Q", bound=Message)
S = TypeVar("S")
P = TypeVar("P", bound=jobs.Response)
R = TypeVar("R")

StreamMethod: TypeAlias = (
    "grpc.UnaryStreamMultiCallable[embedding_pb2.EmbedStreamRequest, embedding_pb2.EmbedStreamResponse]"
)


class Calls:
    """One channel, and the ways in which calls go over it."""

    def __init__(self, settings: Settings) -> None:
        options = channel_options(settings)
        if settings.tls is None:
            self._channel = grpc.insecure_channel(settings.uri, options)
        else:
            self._channel = grpc.secure_channel(settings.uri, credentials(settings.tls), options)
        self._settings = settings
        self._metadata = settings.metadata()
        self._closed = False

    def close(self) -> None:
        """Cancels what is under way and ends the connection."""
        self._closed = True
        self._channel.close()

    def channel(self) -> grpc.Channel:
        """The channel, while it is open."""
        if self._closed:
            raise CallCancelled("the client is closed")
        return self._channel

    def ask(self, method: grpc.UnaryUnaryMultiCallable[Q, S], request: Q, timeout: float) -> S:
        """One request and its response."""
        return _Flight(method, request, timeout, self._settings).result()

    def run(
        self,
        method: grpc.UnaryUnaryMultiCallable[Q, P],
        job: jobs.Job[Q, P, R],
        timeout: float | None,
        progress: jobs.Progress | None,
    ) -> Answer[R]:
        """A job's requests, `in_flight` of them at once; the responses are taken in their order."""
        seconds = self._settings.timeout if timeout is None else timeout
        gathering = jobs.Gathering(job.read)
        requests = iter(job.requests)
        window: deque[tuple[_Flight[Q, P], int]] = deque()
        try:
            while True:
                for request, items in islice(requests, self._settings.in_flight - len(window)):
                    window.append((_Flight(method, request, seconds, self._settings), items))
                if not window:
                    return gathering.answer()
                flight, items = window[0]
                gathering.add(flight.result(), items)
                window.popleft()
                if progress is not None:
                    progress(len(gathering.results), job.items)
        except ClientError as error:
            error.partial = gathering.answer() if gathering.results else None
            raise
        finally:
            for flight, _ in window:
                flight.cancel()

    def vectors(
        self, method: StreamMethod, streams: VectorStreams, timeout: float | None
    ) -> Iterator[Embedding]:
        """The results of one stream after the other, until all texts have theirs."""
        seconds = self._settings.stream_timeout if timeout is None else timeout
        fruitless = 0
        while (request := streams.request()) is not None:
            call = method(request, timeout=seconds, metadata=self._metadata)
            try:
                for response in call:
                    result = streams.read(response)
                    if result is not None:
                        yield result
                streams.end()
                fruitless = 0
            except grpc.RpcError as error:
                failure = client_error(error, self._settings.target)
                fruitless = 0 if streams.fruitful else fruitless + 1
                pause = retries.resume_pause(failure, fruitless)
                if pause is None:
                    raise failure from error
                time.sleep(pause)
            finally:
                call.cancel()

    def all_vectors(
        self,
        method: StreamMethod,
        streams: VectorStreams,
        timeout: float | None,
        progress: Callable[[int], None] | None,
    ) -> Answer[Embedding]:
        """The same as one answer; `progress` is told how many texts are done."""
        results: list[Embedding] = []
        try:
            for result in self.vectors(method, streams, timeout):
                results.append(result)
                if progress is not None:
                    progress(len(results))
        except ClientError as error:
            error.partial = streams.answer(results) if results else None
            raise
        return streams.answer(results)

    def search(
        self,
        method: grpc.StreamStreamMultiCallable[
            paraphrase_pb2.FindParaphrasesRequest, paraphrase_pb2.FindParaphrasesResponse
        ],
        parts: Sequence[paraphrase_pb2.FindParaphrasesRequest],
        timeout: float | None,
    ) -> Paraphrases:
        """One search, sent again as a whole within its deadline if the worker asks for that."""
        deadline = time.monotonic() + (self._settings.stream_timeout if timeout is None else timeout)
        tries = 0
        while True:
            tries += 1
            collection = Collection()
            call = method(iter(parts), timeout=deadline - time.monotonic(), metadata=self._metadata)
            try:
                for response in call:
                    collection.add(response)
                return collection.paraphrases()
            except grpc.RpcError as error:
                failure = client_error(error, self._settings.target)
                pause = retries.retry_pause(failure, tries, deadline - time.monotonic())
                if pause is None:
                    raise failure from error
                time.sleep(pause)
            finally:
                call.cancel()  # does nothing to a call that has ended

    def analyze(
        self,
        method: grpc.StreamStreamMultiCallable[
            analysis_pb2.AnalyzeDocumentsRequest, analysis_pb2.AnalyzeDocumentsResponse
        ],
        settings: analysis_pb2.AnalyzeDocumentsRequest,
        documents: Iterable[str | Text],
        timeout: float | None,
    ) -> Iterator[DocumentAnalysis]:
        """The results of one stream after the other, until all documents have theirs."""
        seconds = self._settings.stream_timeout if timeout is None else timeout
        waiting = UnansweredDocuments()
        source = DocumentSource(documents, waiting)
        fruitless = 0
        while True:
            answers = StreamAnswers(waiting)
            call = method(source.parts(settings), timeout=seconds, metadata=self._metadata)
            try:
                for response in call:
                    result = answers.read(response)
                    if result is not None:
                        yield result
                answers.end()
                break
            except grpc.RpcError as error:
                failure = client_error(error, self._settings.target)
                fruitless = 0 if answers.results else fruitless + 1
                pause = retries.resume_pause(failure, fruitless)
                if pause is None:
                    raise failure from error
                time.sleep(pause)
            finally:
                call.cancel()
        if source.failure is not None:
            raise source.failure


class _Flight(Generic[Q, S]):
    """One request on its way, sent again within its deadline if the worker asks for that."""

    def __init__(
        self, method: grpc.UnaryUnaryMultiCallable[Q, S], request: Q, timeout: float, settings: Settings
    ) -> None:
        self._method = method
        self._request = request
        self._settings = settings
        self._deadline = time.monotonic() + timeout
        self._tries = 0
        self._call = self._send()

    def result(self) -> S:
        """Waits for the response. Raises this package's errors only."""
        while True:
            try:
                response: S = self._call.result()
            except grpc.FutureCancelledError as error:
                raise CallCancelled("the call was cancelled") from error
            except grpc.RpcError as error:
                failure = client_error(error, self._settings.target)
                pause = retries.retry_pause(failure, self._tries, self._deadline - time.monotonic())
                if pause is None:
                    raise failure from error
                time.sleep(pause)
                self._call = self._send()
            else:
                return response

    def cancel(self) -> None:
        """Ends the call, if it has not ended yet."""
        self._call.cancel()

    def _send(self) -> Any:  # a grpc.CallFuture[S], a class that grpc itself does not name at run time
        self._tries += 1
        remaining = self._deadline - time.monotonic()
        return self._method.future(self._request, timeout=remaining, metadata=self._settings.metadata())
