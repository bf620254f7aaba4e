"""The sync client: what a caller can ask a worker.

A sync client's connection: opened and closed, and what may be asked of the worker itself.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self

from qda.v1.analysis_pb2_grpc import AnalysisServiceStub
from qda.v1.embedding_pb2_grpc import EmbeddingServiceStub
from qda.v1.entity_pb2_grpc import EntityServiceStub
from qda.v1.model_pb2 import GetCacheStatusRequest, ListModelsRequest
from qda.v1.model_pb2_grpc import ModelServiceStub
from qda.v1.paraphrase_pb2_grpc import ParaphraseServiceStub
from qda.v1.sentiment_pb2_grpc import SentimentServiceStub
from qda_worker.client import from_proto, health, requests
from qda_worker.client import health as health_check
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
from qda_worker.client.sync_transport import Calls, StreamMethod
from qda_worker.client.texts import Pair, Text, iter_text_messages, text_messages


class SyncConnection:
    """What `Client` is before it asks about texts. Questions about the worker are answered at once, or not at all."""

    def __init__(self, target: str | Settings = DEFAULT_TARGET) -> None:
        """Connects when the first call is made. `target` is `HOST:PORT`, or all the settings.

        Raises:
            InvalidSettings: a setting or a file of TLS that cannot be used.
        """
        self.settings = target if isinstance(target, Settings) else Settings(target)
        self._calls = Calls(self.settings)

    def close(self) -> None:
        """Ends the connection; calls that are under way in other threads fail with CallCancelled."""
        self._calls.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def models(self, *, timeout: float = health.PROBE_TIMEOUT) -> Models:
        """The models that the worker serves, and what a request may hold. Answered also while it is not ready."""
        stub = ModelServiceStub(self._calls.channel())
        return from_proto.models(self._calls.ask(stub.ListModels, ListModelsRequest(), timeout))

    def cache_status(self, *, timeout: float = health.PROBE_TIMEOUT) -> CacheStatus:
        """What the worker's last check of its cache found. Answered also while it is not ready."""
        stub = ModelServiceStub(self._calls.channel())
        return from_proto.cache_status(self._calls.ask(stub.GetCacheStatus, GetCacheStatusRequest(), timeout))

    def health(self, service: str = "", *, timeout: float = health.PROBE_TIMEOUT) -> Health:
        """The health of a service by its full name, `qda.v1.EntityService`; `""` is all that the worker serves."""
        check = self._calls.channel().unary_unary(
            health_check.METHOD,
            request_serializer=health_check.request_bytes,
            response_deserializer=health_check.read_response,
        )
        try:
            return health_check.health(self._calls.ask(check, health_check.health_request(service), timeout))
        except ClientError as error:
            if health_check.is_unknown_service(error):
                return Health.SERVICE_UNKNOWN
            raise

    def wait_ready(self, timeout: float, *, service: str = "") -> None:
        """Returns as soon as the worker serves.

        Raises:
            NotReady: it did not within `timeout` seconds; with the reason that the worker gives.
            NotReachable: nobody answered at the end of that time.
        """
        deadline = time.monotonic() + timeout
        while True:
            found = self._health_or_error(service)
            if found is Health.SERVING:
                return
            if not health.worth_waiting(found, deadline - time.monotonic()):
                break
            time.sleep(health.PAUSE)
        if isinstance(found, ClientError):
            raise found
        raise health.not_ready(found, self._cache_status_if_told(), service, timeout)

    def _health_or_error(self, service: str) -> Health | ClientError:
        try:
            return self.health(service)
        except ClientError as error:
            return error

    def _cache_status_if_told(self) -> CacheStatus | None:
        try:
            return self.cache_status()
        except ClientError:  # the worker may have gone meanwhile; that it is not ready is known already
            return None


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
        job = requests.sentiment_job(
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
        job = requests.pair_job(
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
