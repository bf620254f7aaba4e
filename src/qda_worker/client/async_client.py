"""The async client: the same questions as the sync one, for programs with an event loop.

An async client's connection: opened and closed, and what may be asked of the worker itself.
"""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

from qda.v1.analysis_pb2_grpc import AnalysisServiceStub
from qda.v1.embedding_pb2_grpc import EmbeddingServiceStub
from qda.v1.entity_pb2_grpc import EntityServiceStub
from qda.v1.model_pb2 import GetCacheStatusRequest, ListModelsRequest
from qda.v1.model_pb2_grpc import ModelServiceStub
from qda.v1.paraphrase_pb2_grpc import ParaphraseServiceStub
from qda.v1.sentiment_pb2_grpc import SentimentServiceStub
from qda_worker.client import from_proto, health, requests
from qda_worker.client import health as health_check
from qda_worker.client.async_transport import AsyncCalls, StreamMethod
from qda_worker.client.channel import DEFAULT_TARGET, Settings
from qda_worker.client.enums import (
    EmbeddingKind,
    Health,
    LabelScheme,
    LongTexts,
    Numbers,
    Offsets,
    Priority,
)
from qda_worker.client.errors import ClientError
from qda_worker.client.paraphrase_search import search_parts
from qda_worker.client.requests import Progress, of_total
from qda_worker.client.results import (
    AnalysisTask,
    Answer,
    DocumentAnalysis,
    Embedding,
    Entities,
    PairScore,
    Paraphrases,
    Sentiment,
)
from qda_worker.client.status import CacheStatus, Models
from qda_worker.client.streams import analysis_settings, vector_streams
from qda_worker.client.texts import Pair, Text, iter_text_messages, text_messages

if TYPE_CHECKING:
    from qda.v1.analysis_pb2_grpc import AnalysisServiceAsyncStub
    from qda.v1.embedding_pb2_grpc import EmbeddingServiceAsyncStub
    from qda.v1.entity_pb2_grpc import EntityServiceAsyncStub
    from qda.v1.model_pb2_grpc import ModelServiceAsyncStub
    from qda.v1.paraphrase_pb2_grpc import ParaphraseServiceAsyncStub
    from qda.v1.sentiment_pb2_grpc import SentimentServiceAsyncStub

# ruff: noqa: ASYNC109 - a deadline of gRPC's travels to the worker; `asyncio.timeout` around the call would not


class AsyncConnection:
    """What `AsyncClient` is before it asks about texts. See `SyncConnection`."""

    def __init__(self, target: str | Settings = DEFAULT_TARGET) -> None:
        """Connects when the first call is made. `target` is `HOST:PORT`, or all the settings.

        Raises:
            InvalidSettings: a setting or a file of TLS that cannot be used.
        """
        self.settings = target if isinstance(target, Settings) else Settings(target)
        self._calls = AsyncCalls(self.settings)

    async def close(self) -> None:
        """Ends the connection; calls that are under way fail with CallCancelled."""
        await self._calls.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def models(self, *, timeout: float = health.PROBE_TIMEOUT) -> Models:
        """See `Client.models`."""
        stub = cast("ModelServiceAsyncStub", ModelServiceStub(self._calls.channel()))
        return from_proto.models(await self._calls.ask(stub.ListModels, ListModelsRequest(), timeout))

    async def cache_status(self, *, timeout: float = health.PROBE_TIMEOUT) -> CacheStatus:
        """See `Client.cache_status`."""
        stub = cast("ModelServiceAsyncStub", ModelServiceStub(self._calls.channel()))
        return from_proto.cache_status(
            await self._calls.ask(stub.GetCacheStatus, GetCacheStatusRequest(), timeout)
        )

    async def health(self, service: str = "", *, timeout: float = health.PROBE_TIMEOUT) -> Health:
        """See `Client.health`."""
        check = self._calls.channel().unary_unary(
            health_check.METHOD,
            request_serializer=health_check.request_bytes,
            response_deserializer=health_check.read_response,
        )
        try:
            return health_check.health(
                await self._calls.ask(check, health_check.health_request(service), timeout)
            )
        except ClientError as error:
            if health_check.is_unknown_service(error):
                return Health.SERVICE_UNKNOWN
            raise

    async def wait_ready(self, timeout: float, *, service: str = "") -> None:
        """See `Client.wait_ready`."""
        deadline = time.monotonic() + timeout
        while True:
            found = await self._health_or_error(service)
            if found is Health.SERVING:
                return
            if not health.worth_waiting(found, deadline - time.monotonic()):
                break
            await asyncio.sleep(health.PAUSE)
        if isinstance(found, ClientError):
            raise found
        raise health.not_ready(found, await self._cache_status_if_told(), service, timeout)

    async def _health_or_error(self, service: str) -> Health | ClientError:
        try:
            return await self.health(service)
        except ClientError as error:
            return error

    async def _cache_status_if_told(self) -> CacheStatus | None:
        try:
            return await self.cache_status()
        except ClientError:  # the worker may have gone meanwhile; that it is not ready is known already
            return None


# ruff: noqa: ASYNC109 - a deadline of gRPC's travels to the worker; `asyncio.timeout` around the call would not


class AsyncClient(AsyncConnection):
    """Calls a worker from an event loop; what each method takes, gives and raises is said at `Client`'s.

    >>> async with AsyncClient("127.0.0.1:50051") as client:
    ...     answer = await client.sentiment(["Ich war froh.", "Das ärgert mich."])
    ...     print([result.label for result in answer])

    Made and used within one event loop. Cancelling a task cancels its calls, in the worker too.
    """

    async def sentiment(
        self,
        texts: Iterable[str | Text],
        *,
        model: str = "",
        long_texts: LongTexts = LongTexts.CUT,
        priority: Priority | None = None,
        sentences: bool = False,
        offsets: Offsets = Offsets.CODE_POINTS,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Answer[Sentiment]:
        """See `Client.sentiment`."""
        job = requests.sentiment_job(
            texts,
            model=model,
            long_texts=long_texts,
            priority=priority,
            sentences=sentences,
            offsets=offsets,
            chunk_texts=self.settings.chunk_texts,
        )
        return await self._calls.run(
            cast("SentimentServiceAsyncStub", SentimentServiceStub(self._calls.channel())).AnalyzeSentiment,
            job,
            timeout,
            progress,
        )

    async def entities(
        self,
        texts: Iterable[str | Text],
        *,
        model: str = "",
        long_texts: LongTexts = LongTexts.CUT,
        priority: Priority | None = None,
        offsets: Offsets = Offsets.CODE_POINTS,
        label_scheme: LabelScheme = LabelScheme.MODEL,
        labels: Sequence[str] = (),
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Answer[Entities]:
        """See `Client.entities`."""
        job = requests.entity_job(
            texts,
            model=model,
            long_texts=long_texts,
            priority=priority,
            offsets=offsets,
            label_scheme=label_scheme,
            labels=labels,
            chunk_texts=self.settings.chunk_texts,
        )
        return await self._calls.run(
            cast("EntityServiceAsyncStub", EntityServiceStub(self._calls.channel())).RecognizeEntities,
            job,
            timeout,
            progress,
        )

    async def embed(
        self,
        texts: Iterable[str | Text],
        *,
        model: str = "",
        long_texts: LongTexts = LongTexts.CUT,
        priority: Priority | None = None,
        kinds: Sequence[EmbeddingKind] = (EmbeddingKind.DENSE,),
        normalize: bool | None = None,
        dimensions: int = 0,
        numbers: Numbers = Numbers.FLOAT32,
        stream: bool | None = None,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Answer[Embedding]:
        """See `Client.embed`."""
        if EmbeddingKind.MULTI_VECTOR in kinds if stream is None else stream:
            messages = text_messages(texts)
            streams = vector_streams(
                messages,
                model=model,
                long_texts=long_texts,
                priority=priority,
                kinds=kinds,
                normalize=normalize,
                dimensions=dimensions,
                numbers=numbers,
            )
            return await self._calls.all_vectors(
                self._embed_stream(), streams, timeout, of_total(progress, len(messages))
            )
        job = requests.embed_job(
            texts,
            model=model,
            long_texts=long_texts,
            priority=priority,
            kinds=kinds,
            normalize=normalize,
            dimensions=dimensions,
            numbers=numbers,
            chunk_texts=self.settings.chunk_texts,
        )
        return await self._calls.run(
            cast("EmbeddingServiceAsyncStub", EmbeddingServiceStub(self._calls.channel())).Embed,
            job,
            timeout,
            progress,
        )

    def embed_stream(
        self,
        texts: Iterable[str | Text],
        *,
        model: str = "",
        long_texts: LongTexts = LongTexts.CUT,
        priority: Priority | None = None,
        kinds: Sequence[EmbeddingKind] = (EmbeddingKind.DENSE,),
        normalize: bool | None = None,
        dimensions: int = 0,
        numbers: Numbers = Numbers.FLOAT32,
        timeout: float | None = None,
    ) -> AsyncIterator[Embedding]:
        """See `Client.embed_stream`."""
        streams = vector_streams(
            iter_text_messages(texts, "texts"),
            model=model,
            long_texts=long_texts,
            priority=priority,
            kinds=kinds,
            normalize=normalize,
            dimensions=dimensions,
            numbers=numbers,
        )
        return self._calls.vectors(self._embed_stream(), streams, timeout)

    async def score_pairs(
        self,
        pairs: Iterable[Pair | tuple[str | Text, str | Text]],
        *,
        model: str = "",
        long_texts: LongTexts = LongTexts.CUT,
        priority: Priority | None = None,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Answer[PairScore]:
        """See `Client.score_pairs`."""
        job = requests.pair_job(
            pairs,
            model=model,
            long_texts=long_texts,
            priority=priority,
            chunk_texts=self.settings.chunk_texts,
        )
        return await self._calls.run(
            cast("ParaphraseServiceAsyncStub", ParaphraseServiceStub(self._calls.channel())).ScorePairs,
            job,
            timeout,
            progress,
        )

    async def find_paraphrases(
        self,
        texts: Iterable[str | Text],
        others: Iterable[str | Text] | None = None,
        *,
        threshold: float | None = None,
        best: int | None = None,
        model: str = "",
        long_texts: LongTexts = LongTexts.CUT,
        priority: Priority | None = None,
        timeout: float | None = None,
    ) -> Paraphrases:
        """See `Client.find_paraphrases`."""
        parts = search_parts(
            texts,
            others,
            threshold=threshold,
            best=best,
            model=model,
            long_texts=long_texts,
            priority=priority,
        )
        method = cast(
            "ParaphraseServiceAsyncStub", ParaphraseServiceStub(self._calls.channel())
        ).FindParaphrases
        return await self._calls.search(method, parts, timeout)

    def analyze(
        self,
        documents: Iterable[str | Text] | AsyncIterable[str | Text],
        tasks: Sequence[AnalysisTask],
        *,
        offsets: Offsets = Offsets.CODE_POINTS,
        long_texts: LongTexts = LongTexts.CUT,
        priority: Priority | None = None,
        timeout: float | None = None,
    ) -> AsyncIterator[DocumentAnalysis]:
        """See `Client.analyze`; `documents` may be an async iterator. Its end is awaited with `async for`."""
        settings = analysis_settings(tasks, offsets=offsets, long_texts=long_texts, priority=priority)
        method = cast("AnalysisServiceAsyncStub", AnalysisServiceStub(self._calls.channel())).AnalyzeDocuments
        return self._calls.analyze(method, settings, documents, timeout)

    def _embed_stream(self) -> StreamMethod:
        stub = cast("EmbeddingServiceAsyncStub", EmbeddingServiceStub(self._calls.channel()))
        return stub.EmbedStream
