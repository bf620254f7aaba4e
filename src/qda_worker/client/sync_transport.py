"""Carries requests to a worker and responses back, one thread waiting; what they hold is made and read elsewhere."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from threading import Event
from typing import Any, Generic, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message

from qda.v1 import analysis_pb2, embedding_pb2, paraphrase_pb2
from qda_worker.client import requests
from qda_worker.client.channel import Settings, channel_options, credentials
from qda_worker.client.errors import CallCancelled, ClientError
from qda_worker.client.grpc_errors import client_error
from qda_worker.client.paraphrase_search import Collection
from qda_worker.client.results import Answer, DocumentAnalysis, Embedding, Paraphrases
from qda_worker.client.retry import RetryBudget, StreamRetry, WorkerAvailability
from qda_worker.client.streams import DocumentSource, StreamAnswers, UnansweredDocuments, VectorStreams
from qda_worker.client.texts import Text

Q = TypeVar("Q", bound=Message)
S = TypeVar("S")
P = TypeVar("P", bound=requests.Response)
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
        self.metadata = settings.metadata()
        self._contact = WorkerAvailability(settings.target)
        self._closed = Event()

    def close(self) -> None:
        """Cancels what is under way and ends the connection."""
        self._closed.set()
        self._channel.close()

    def channel(self) -> grpc.Channel:
        """The channel, while it is open."""
        if self._closed.is_set():
            raise CallCancelled("the client is closed")
        return self._channel

    def wait(self, seconds: float) -> None:
        """Waits between two tries. Raises CallCancelled as soon as the client is closed."""
        if self._closed.wait(seconds):
            raise CallCancelled("the client was closed")

    def ask(self, method: "grpc.UnaryUnaryMultiCallable[Q, S]", request: Q, timeout: float) -> S:
        """One request and its response. Who is asked about itself is not waited for."""
        return _Flight(self, method, request, RetryBudget(self._contact, timeout, patience=0.0)).result()

    def received(self, error: grpc.RpcError) -> ClientError:
        """What a failed call means."""
        return client_error(error, self._settings.target)

    def run(
        self,
        method: "grpc.UnaryUnaryMultiCallable[Q, P]",
        job: requests.Job[Q, P, R],
        timeout: float | None,
        progress: requests.Progress | None,
    ) -> Answer[R]:
        """A job's requests, `in_flight` of them at once; the responses are taken in their order."""
        seconds = self._settings.timeout if timeout is None else timeout
        gathering = requests.ResultCollector(job.read)
        remaining = iter(job.requests)
        window: deque[tuple[_Flight[Q, P], int]] = deque()
        try:
            while True:
                for request, items in islice(remaining, self._settings.in_flight - len(window)):
                    tries = RetryBudget(self._contact, seconds)
                    window.append((_Flight(self, method, request, tries), items))
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
        resuming = StreamRetry(self._contact, min(seconds, self._settings.timeout))
        while (request := streams.request()) is not None:
            call = method(request, timeout=seconds, metadata=self.metadata)
            try:
                for response in call:
                    self._contact.answered()
                    result = streams.read(response)
                    if result is not None:
                        yield result
                streams.end()
            except grpc.RpcError as error:
                failure = self.received(error)
                pause = resuming.pause(failure, fruitful=streams.fruitful)
                if pause is None:
                    raise failure from error
                self.wait(pause)
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
        method: "grpc.StreamStreamMultiCallable[paraphrase_pb2.FindParaphrasesRequest, "
        "paraphrase_pb2.FindParaphrasesResponse]",
        parts: Sequence[paraphrase_pb2.FindParaphrasesRequest],
        timeout: float | None,
    ) -> Paraphrases:
        """One search. What breaks, also in the midst of its pairs, begins anew; pairs of two tries are never mixed."""
        seconds = self._settings.stream_timeout if timeout is None else timeout
        tries = RetryBudget(self._contact, seconds, min(seconds, self._settings.timeout))
        while True:
            collection = Collection()
            call = method(iter(parts), timeout=tries.begin(), metadata=self.metadata)
            try:
                for response in call:
                    self._contact.answered()
                    collection.add(response)
                return collection.paraphrases()
            except grpc.RpcError as error:
                failure = self.received(error)
                pause = tries.pause(failure, answering=collection.begun)
                if pause is None:
                    raise tries.outcome(failure) from error
                self.wait(pause)
            finally:
                call.cancel()  # does nothing to a call that has ended

    def analyze(
        self,
        method: "grpc.StreamStreamMultiCallable[analysis_pb2.AnalyzeDocumentsRequest, "
        "analysis_pb2.AnalyzeDocumentsResponse]",
        settings: analysis_pb2.AnalyzeDocumentsRequest,
        documents: Iterable[str | Text],
        timeout: float | None,
    ) -> Iterator[DocumentAnalysis]:
        """The results of one stream after the other, until all documents have theirs."""
        seconds = self._settings.stream_timeout if timeout is None else timeout
        waiting = UnansweredDocuments()
        source = DocumentSource(documents, waiting)
        resuming = StreamRetry(self._contact, min(seconds, self._settings.timeout))
        while True:
            answers = StreamAnswers(waiting)
            call = method(source.parts(settings), timeout=seconds, metadata=self.metadata)
            try:
                for response in call:
                    self._contact.answered()
                    result = answers.read(response)
                    if result is not None:
                        yield result
                answers.end()
                break
            except grpc.RpcError as error:
                failure = self.received(error)
                pause = resuming.pause(failure, fruitful=answers.results > 0)
                if pause is None:
                    raise failure from error
                self.wait(pause)
            finally:
                call.cancel()
        if source.failure is not None:
            raise source.failure


class _Flight(Generic[Q, S]):
    """One request on its way, sent again within its deadline while that can help."""

    def __init__(
        self, calls: Calls, method: "grpc.UnaryUnaryMultiCallable[Q, S]", request: Q, tries: RetryBudget
    ) -> None:
        self._calls = calls
        self._method = method
        self._request = request
        self._tries = tries
        self._call = self._send()

    def result(self) -> S:
        """Waits for the response. Raises this package's errors only."""
        while True:
            try:
                response: S = self._call.result()
            except grpc.FutureCancelledError as error:
                raise CallCancelled("the call was cancelled") from error
            except grpc.RpcError as error:
                failure = self._calls.received(error)
                pause = self._tries.pause(failure)
                if pause is None:
                    raise self._tries.outcome(failure) from error
                self._calls.wait(pause)
                self._call = self._send()
            else:
                self._tries.succeeded()
                return response

    def cancel(self) -> None:
        """Ends the call, if it has not ended yet."""
        self._call.cancel()

    def _send(self) -> Any:  # a grpc.CallFuture[S], a class that grpc itself does not name at run time
        metadata = self._calls.metadata
        return self._method.future(self._request, timeout=self._tries.begin(), metadata=metadata)
