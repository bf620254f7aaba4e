"""The async client.

Each method builds its requests (`requests`, `document_stream`, `vector_stream`, `paraphrase_search`) and passes them to
the transport, which sends them, retries, and reads the results with the functions that came with the requests.

The calls about the worker itself are in `async_worker_status`.

`sync_client` is generated from this module by scripts/generate-sync-client (`make sync-client`), with its docstrings.
The script fails if a passage in which the two clients differ is changed only here.
"""

# ruff: noqa: ASYNC109 - gRPC sends a timeout to the worker as the call's deadline; `asyncio.timeout` would not

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Self

from qda_worker.client import requests
from qda_worker.client.analysis_tasks import AnalysisTask
from qda_worker.client.async_transport import AsyncTransport
from qda_worker.client.async_worker_status import AsyncWorkerStatus
from qda_worker.client.channel import DEFAULT_TARGET, Settings
from qda_worker.client.document_stream import analysis_settings
from qda_worker.client.enums import (
    EmbeddingKind,
    LabelScheme,
    LongTexts,
    Numbers,
    Offsets,
    Priority,
    SyntaxLayer,
)
from qda_worker.client.paraphrase_search import search_request
from qda_worker.client.requests import OnResults, Progress
from qda_worker.client.results import (
    Answer,
    DocumentAnalysis,
    Embedding,
    Entities,
    PairScore,
    Paraphrases,
    Sentiment,
    Syntax,
)
from qda_worker.client.texts import Pair, Text
from qda_worker.client.vector_stream import vector_streams


class AsyncClient(AsyncWorkerStatus):
    """Calls a worker from an event loop. Close it at the end, or use it as a context manager.

    >>> async with AsyncClient("127.0.0.1:50051") as client:
    ...     for result in await client.sentiment(["Ich war froh.", "Das ärgert mich."]):
    ...         print(result.label or result.error)
    positive
    negative

    Lists of any length are sent as several requests, `Settings.in_flight` of them concurrently. The results are in the
    order of the texts; `on_results` is called with each part of them as it arrives. If a single text fails or cannot be
    sent, its result has an `error`. If the whole call fails, the method raises a `ClientError`; see `errors` for the
    kinds. Every call has a deadline: `timeout`, in seconds for each request, or that of the settings.

    A client belongs to one event loop. Cancelling a task cancels its calls, also in the worker.
    """

    def __init__(self, target: str | Settings = DEFAULT_TARGET) -> None:
        """Create the client. It connects when the first call is made.

        Args:
            target: `HOST:PORT`, or all settings.

        Raises:
            InvalidSettings: when a setting or a TLS file cannot be used.
        """
        self.settings = target if isinstance(target, Settings) else Settings(target)
        self._transport = AsyncTransport(self.settings)

    async def close(self) -> None:
        """Close the connection. Calls in progress fail with `CallCancelled`."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

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
        on_results: OnResults[Sentiment] | None = None,
    ) -> Answer[Sentiment]:
        """Classify each text as positive, negative or neutral.

        Args:
            model: key of a sentiment model; empty: the catalog's default.
            priority: None: by size for a list that fits into one request, bulk for a longer one.
            sentences: whether to classify each sentence, too.
            offsets: the unit of the sentences' positions.

        Raises:
            InvalidRequest: when an argument is invalid; the message names it.
        """
        request = requests.sentiment_request(
            texts,
            model=model,
            long_texts=long_texts,
            priority=priority,
            sentences=sentences,
            offsets=offsets,
            chunk_texts=self.settings.chunk_texts,
        )
        method = self._transport.sentiment().AnalyzeSentiment
        return await self._transport.call_chunked(method, request, timeout, progress, on_results)

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
        on_results: OnResults[Entities] | None = None,
    ) -> Answer[Entities]:
        """Find the entities in each text.

        >>> text = "Grüße 👩‍🔬 aus Köln: Frau Müller"
        >>> answer = await client.entities([text], labels=["PER"])
        >>> [entity] = answer[0].entities
        >>> text[entity.start : entity.end]
        'Müller'

        Args:
            offsets: the unit of positions; code points are the indices of Python strings.
            label_scheme: the model's own labels, or labels that are the same for every model.
            labels: return only entities with these labels; empty: all.
        """
        request = requests.entity_request(
            texts,
            model=model,
            long_texts=long_texts,
            priority=priority,
            offsets=offsets,
            label_scheme=label_scheme,
            labels=labels,
            chunk_texts=self.settings.chunk_texts,
        )
        method = self._transport.entities().RecognizeEntities
        return await self._transport.call_chunked(method, request, timeout, progress, on_results)

    async def syntax(
        self,
        texts: Iterable[str | Text],
        *,
        model: str = "",
        long_texts: LongTexts = LongTexts.CUT,
        priority: Priority | None = None,
        offsets: Offsets = Offsets.CODE_POINTS,
        layers: Sequence[SyntaxLayer] = (),
        timeout: float | None = None,
        progress: Progress | None = None,
        on_results: OnResults[Syntax] | None = None,
    ) -> Answer[Syntax]:
        """Split each text into sentences and tokens, with lemma, part of speech, head and more of each token.

        >>> answer = await client.syntax(["Die Häuser stehen leer."], layers=["lemma"])
        >>> [token.lemma for token in answer[0].tokens]
        ['der', 'Haus', 'stehen', 'leer', '.']

        Args:
            model: key of a model for syntax or entities; empty: the catalog's default.
            offsets: the unit of positions; code points are the indices of Python strings.
            layers: what to return beside the tokens; only what these need is computed. Empty: all that the model has.
        """
        request = requests.syntax_request(
            texts,
            model=model,
            long_texts=long_texts,
            priority=priority,
            offsets=offsets,
            layers=layers,
            chunk_texts=self.settings.chunk_texts,
        )
        method = self._transport.syntax().AnalyzeSyntax
        return await self._transport.call_chunked(method, request, timeout, progress, on_results)

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
        prompt_name: str = "",
        stream: bool | None = None,
        timeout: float | None = None,
        progress: Progress | None = None,
        on_results: OnResults[Embedding] | None = None,
    ) -> Answer[Embedding]:
        """Compute vectors of each text: numpy arrays if numpy is installed, else `array.array("f")`.

        >>> answer = await client.embed(texts)
        >>> matrix = numpy.stack([result.dense for result in answer])  # shape [texts, dimensions]

        Args:
            model: key of an embedding or paraphrase model; empty: the catalog's default for embeddings.
            kinds: the kinds of vectors; `models()` lists those of each model.
            normalize: whether to scale dense vectors to length 1; None: as in the model's configuration.
            dimensions: number of leading dimensions to keep, for models that allow it; 0: all.
            numbers: number format in transit; FLOAT16 halves the size and keeps three significant digits.
            prompt_name: name of the model's prompt to put before each text, as "query" or "passage" for models like E5;
                `models()` lists those of each model. Empty: its default prompt, if it has one.
            stream: whether to receive vectors in parts of at most 1 MiB, which large results need; None: only for
                multi-vectors. `timeout` is then that of a stream, and the default priority is bulk.
        """
        if stream is None:
            stream = EmbeddingKind.MULTI_VECTOR in kinds
        if stream:
            streams = vector_streams(
                texts,
                whole_list=True,
                model=model,
                long_texts=long_texts,
                priority=priority,
                kinds=kinds,
                normalize=normalize,
                dimensions=dimensions,
                numbers=numbers,
                prompt_name=prompt_name,
            )
            count = requests.with_total(progress, streams.total)
            return await self._transport.embed_stream_answer(streams, timeout, count, on_results)
        request = requests.embed_request(
            texts,
            model=model,
            long_texts=long_texts,
            priority=priority,
            kinds=kinds,
            normalize=normalize,
            dimensions=dimensions,
            numbers=numbers,
            prompt_name=prompt_name,
            chunk_texts=self.settings.chunk_texts,
        )
        method = self._transport.embeddings().Embed
        return await self._transport.call_chunked(method, request, timeout, progress, on_results)

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
        prompt_name: str = "",
        timeout: float | None = None,
    ) -> AsyncIterator[Embedding]:
        """Compute vectors of any number of texts in constant memory; yield those of each text as they arrive.

        `texts` is read as results are taken. If a worker fails, the next one continues with the first text that has no
        result. For the other arguments see `embed`.

        """
        streams = vector_streams(
            texts,
            model=model,
            long_texts=long_texts,
            priority=priority,
            kinds=kinds,
            normalize=normalize,
            dimensions=dimensions,
            numbers=numbers,
            prompt_name=prompt_name,
        )
        return self._transport.embed_stream(streams, timeout)

    async def score_pairs(
        self,
        pairs: Iterable[Pair | tuple[str | Text, str | Text]],
        *,
        model: str = "",
        long_texts: LongTexts = LongTexts.CUT,
        priority: Priority | None = None,
        prompt_name: str = "",
        timeout: float | None = None,
        progress: Progress | None = None,
        on_results: OnResults[PairScore] | None = None,
    ) -> Answer[PairScore]:
        """Compute the similarity of the two texts of each pair: the cosine of their vectors, -1 to 1.

        >>> answer = await client.score_pairs([("Ich bin müde.", "Ich möchte schlafen.")])
        >>> answer[0].score
        0.71
        """
        request = requests.pair_request(
            pairs,
            model=model,
            long_texts=long_texts,
            priority=priority,
            prompt_name=prompt_name,
            chunk_texts=self.settings.chunk_texts,
        )
        method = self._transport.paraphrases().ScorePairs
        return await self._transport.call_chunked(method, request, timeout, progress, on_results)

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
        prompt_name: str = "",
        timeout: float | None = None,
    ) -> Paraphrases:
        """Find texts of similar meaning within `texts`, or between `texts` and `others`.

        >>> found = await client.find_paraphrases(texts, threshold=0.8)
        >>> for pair in found.pairs:
        ...     print(pair.score, texts[pair.first], texts[pair.second])

        Args:
            threshold: return only pairs with at least this score, -1 to 1.
            best: return for each of `texts` at most this many partners, those with the highest scores.
            prompt_name: as for `embed`, for the texts of both sets.
            timeout: seconds for the whole search; None: the settings' `stream_timeout`.

        Raises:
            InvalidRequest: when threshold and best are both missing.
        """
        search = search_request(
            texts,
            others,
            threshold=threshold,
            best=best,
            model=model,
            long_texts=long_texts,
            priority=priority,
            prompt_name=prompt_name,
        )
        return await self._transport.find_paraphrases(search, timeout)

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
        """Run several tasks on each of any number of documents in constant memory; yield results as they arrive.

        gRPC reads `documents` in a task as results are taken. If a worker fails, the next one continues with the
        first document that has no result. An exception of `documents` itself is raised after the results before it.

        >>> async for result in client.analyze(open("interview.txt"), [SentimentTask(), EntityTask()]):
        ...     print(result.sentiment.label, [entity.text for entity in result.entities.entities])

        Args:
            documents: an iterable, or an async one.
            tasks: at least one; `SentimentTask` and `EntityTask` once each, `EmbeddingTask` once for each model.
            timeout: seconds for one stream; None: the settings' `stream_timeout`. The whole call may take longer.
        """
        settings = analysis_settings(tasks, offsets=offsets, long_texts=long_texts, priority=priority)
        return self._transport.analyze_documents(settings, documents, timeout)
