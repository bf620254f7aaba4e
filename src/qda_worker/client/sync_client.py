"""The sync client: what a caller can ask a worker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from qda.v1.analysis_pb2_grpc import AnalysisServiceStub
from qda.v1.embedding_pb2_grpc import EmbeddingServiceStub
from qda.v1.entity_pb2_grpc import EntityServiceStub
from qda.v1.paraphrase_pb2_grpc import ParaphraseServiceStub
from qda.v1.sentiment_pb2_grpc import SentimentServiceStub
from qda_worker.client import jobs
from qda_worker.client.analysis import AnalysisTask, DocumentAnalysis
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
from qda_worker.client.sync_calls import StreamMethod
from qda_worker.client.sync_connection import SyncConnection
from qda_worker.client.texts import Pair, Text, iter_text_messages, text_messages
from qda_worker.client.vector_stream import vector_streams


class Client(SyncConnection):
    """Calls a worker. Safe to share between threads; close it at the end, or use it in a `with` block.

    >>> with Client("127.0.0.1:50051") as client:
    ...     for result in client.sentiment(["Ich war froh.", "Das ärgert mich."]):
    ...         print(result.label or result.error)
    positive
    negative

    A list of any length may be given: it travels in requests that the worker takes, several at once, and comes back in
    its order. One bad text has an `error` in its result; what concerns the whole call is raised (`errors`). Every call
    has a deadline: `timeout`, in seconds for each request, is that of the settings unless it is given.
    """

    def sentiment(
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
        """Tells whether each text is positive, negative or neutral.

        Args:
            model: key of a sentiment model; empty: the catalog's default.
            priority: None: interactive for a list of one request, bulk for a longer one.
            sentences: whether each sentence is answered too, with its place counted in `offsets`.

        Raises:
            ClientError: see `errors`; InvalidRequest names the text that cannot be sent.
        """
        job = jobs.sentiment_job(
            texts,
            model=model,
            long_texts=long_texts,
            priority=priority,
            sentences=sentences,
            offsets=offsets,
            chunk_texts=self.settings.chunk_texts,
        )
        return self._calls.run(
            SentimentServiceStub(self._calls.channel()).AnalyzeSentiment, job, timeout, progress
        )

    def entities(
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
        """Finds the names in each text.

        >>> text = "Grüße 👩‍🔬 aus Köln: Frau Müller"
        >>> [entity] = client.entities([text], labels=["PER"])[0].entities
        >>> text[entity.start : entity.end]
        'Müller'

        Args:
            offsets: what positions count; code points are Python's own.
            label_scheme: the model's labels, or names that are the same for every model.
            labels: only entities of these kinds; empty: all.

        Raises:
            ClientError: see `errors`.
        """
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
        return self._calls.run(
            EntityServiceStub(self._calls.channel()).RecognizeEntities, job, timeout, progress
        )

    def embed(
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
        """Turns each text into vectors: numpy arrays if numpy is installed, else `array.array("f")`.

        >>> matrix = numpy.stack([result.dense for result in client.embed(texts)])  # shape [texts, dimensions]

        Args:
            model: key of an embedding or paraphrase model; empty: the catalog's default for embeddings.
            kinds: which vectors; sparse weights and multi-vectors where the model gives them (`models()`).
            normalize: whether dense vectors are brought to length 1; None: as the model's own files say.
            dimensions: leading dimensions to keep, for models that allow it; 0: all.
            numbers: how vectors travel; FLOAT16 halves the bytes and keeps three significant digits.
            stream: whether vectors travel in parts of at most 1 MiB, which what is long needs; None: where
                multi-vectors are asked for. Then `timeout` is that of a stream, and bulk the usual priority.

        Raises:
            ClientError: see `errors`.
        """
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
            return self._calls.all_vectors(
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
        return self._calls.run(EmbeddingServiceStub(self._calls.channel()).Embed, job, timeout, progress)

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
    ) -> Iterator[Embedding]:
        """The vectors of each text as they arrive, of as many texts as there are, in constant memory.

        `texts` is read as results are taken. When a worker goes away in the midst, the next one goes on with the
        first text that has no result yet. Arguments as those of `embed`.

        Raises:
            ClientError: see `errors`; InvalidRequest for a text that cannot be sent comes when its turn does.
        """
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

    def score_pairs(
        self,
        pairs: Iterable[Pair | tuple[str | Text, str | Text]],
        *,
        model: str = "",
        long_texts: LongTexts = LongTexts.CUT,
        priority: Priority | None = None,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> Answer[PairScore]:
        """Tells how alike the two texts of each pair are: a cosine, -1 to 1.

        >>> client.score_pairs([("Ich bin müde.", "Ich möchte schlafen.")])[0].score
        0.71

        Raises:
            ClientError: see `errors`.
        """
        job = jobs.pair_job(
            pairs,
            model=model,
            long_texts=long_texts,
            priority=priority,
            chunk_texts=self.settings.chunk_texts,
        )
        return self._calls.run(
            ParaphraseServiceStub(self._calls.channel()).ScorePairs, job, timeout, progress
        )

    def find_paraphrases(
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
        """Finds like texts within `texts`, or between `texts` and `others`.

        >>> for pair in client.find_paraphrases(texts, threshold=0.8).pairs:
        ...     print(pair.score, texts[pair.first], texts[pair.second])

        Args:
            threshold: only pairs with at least this score, -1 to 1.
            best: for each of `texts` at most so many partners, the best ones.
            timeout: seconds for the whole search; None: the settings' `stream_timeout`.

        Raises:
            ClientError: see `errors`; InvalidRequest without threshold and best.
        """
        parts = search_parts(
            texts,
            others,
            threshold=threshold,
            best=best,
            model=model,
            long_texts=long_texts,
            priority=priority,
        )
        method = ParaphraseServiceStub(self._calls.channel()).FindParaphrases
        return self._calls.search(method, parts, timeout)

    def analyze(
        self,
        documents: Iterable[str | Text],
        tasks: Sequence[AnalysisTask],
        *,
        offsets: Offsets = Offsets.CODE_POINTS,
        long_texts: LongTexts = LongTexts.CUT,
        priority: Priority | None = None,
        timeout: float | None = None,
    ) -> Iterator[DocumentAnalysis]:
        """Does several tasks on each document, as many documents as there are, in constant memory.

        `documents` is read as results are taken, by a thread of gRPC's. When a worker goes away in the midst, the
        next one goes on with the first document that has no result yet. An error of `documents` itself is raised
        after the results of those before it.

        >>> for result in client.analyze(open("interview.txt"), [SentimentTask(), EntityTask()]):
        ...     print(result.sentiment.label, [entity.text for entity in result.entities.entities])

        Args:
            tasks: at least one; `SentimentTask` and `EntityTask` once each, `EmbeddingTask` for each model.
            timeout: seconds that one stream may last; None: the settings' `stream_timeout`. The whole may take longer.

        Raises:
            ClientError: see `errors`.
        """
        settings = analysis_settings(tasks, offsets=offsets, long_texts=long_texts, priority=priority)
        method = AnalysisServiceStub(self._calls.channel()).AnalyzeDocuments
        return self._calls.analyze(method, settings, documents, timeout)

    def _embed_stream(self) -> StreamMethod:
        return EmbeddingServiceStub(self._calls.channel()).EmbedStream
