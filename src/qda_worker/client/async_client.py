"""The async client: the same questions as the sync one, for programs with an event loop."""

# ruff: noqa: ASYNC109 - a deadline of gRPC's travels to the worker; `asyncio.timeout` around the call would not

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from typing import TYPE_CHECKING, cast

from qda.v1.analysis_pb2_grpc import AnalysisServiceStub
from qda.v1.embedding_pb2_grpc import EmbeddingServiceStub
from qda.v1.entity_pb2_grpc import EntityServiceStub
from qda.v1.paraphrase_pb2_grpc import ParaphraseServiceStub
from qda.v1.sentiment_pb2_grpc import SentimentServiceStub
from qda_worker.client import jobs
from qda_worker.client.analysis import AnalysisTask, DocumentAnalysis
from qda_worker.client.async_calls import StreamMethod
from qda_worker.client.async_connection import AsyncConnection
from qda_worker.client.choices import (
    EmbeddingKind,
    LabelScheme,
    LongTexts,
    Numbers,
    Offsets,
    Priority,
)
from qda_worker.client.document_stream import analysis_settings
from qda_worker.client.jobs import Progress, of_total
from qda_worker.client.paraphrase_search import search_parts
from qda_worker.client.paraphrases import Paraphrases
from qda_worker.client.results import Answer, Embedding, Entities, PairScore, Sentiment
from qda_worker.client.texts import Pair, Text, iter_text_messages, text_messages
from qda_worker.client.vector_stream import vector_streams

if TYPE_CHECKING:  # the async stubs are the same classes, known by these names to type checkers alone
    from qda.v1.analysis_pb2_grpc import AnalysisServiceAsyncStub
    from qda.v1.embedding_pb2_grpc import EmbeddingServiceAsyncStub
    from qda.v1.entity_pb2_grpc import EntityServiceAsyncStub
    from qda.v1.paraphrase_pb2_grpc import ParaphraseServiceAsyncStub
    from qda.v1.sentiment_pb2_grpc import SentimentServiceAsyncStub


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
        job = jobs.sentiment_job(
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
        job = jobs.entity_job(
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
        job = jobs.embed_job(
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
        job = jobs.pair_job(
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
