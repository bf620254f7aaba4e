"""The services of the fake worker. Results are computed from the texts, so that a test can assign each to its text."""

import struct
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from qda.v1 import (
    analysis_pb2,
    analysis_pb2_grpc,
    embedding_pb2,
    embedding_pb2_grpc,
    entity_pb2,
    entity_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    paraphrase_pb2,
    paraphrase_pb2_grpc,
    processing_pb2,
    sentiment_pb2,
    sentiment_pb2_grpc,
    syntax_pb2,
    syntax_pb2_grpc,
    text_pb2,
)
from tests.support.fake_syntax import syntax_of
from tests.support.grpc_faults import pack, refuse

if TYPE_CHECKING:
    from tests.support.fake_worker import FakeWorker

TIMINGS: Final = processing_pb2.Timings(
    queue_duration=Duration(nanos=250_000_000),
    compute_duration=Duration(seconds=1),
    total_duration=Duration(seconds=2),
)


def add_to(server: grpc.Server, worker: "FakeWorker") -> None:
    sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(Sentiments(worker), server)
    entity_pb2_grpc.add_EntityServiceServicer_to_server(Entities(worker), server)
    syntax_pb2_grpc.add_SyntaxServiceServicer_to_server(Syntax(worker), server)
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(Embeddings(worker), server)
    paraphrase_pb2_grpc.add_ParaphraseServiceServicer_to_server(Paraphrases(worker), server)
    analysis_pb2_grpc.add_AnalysisServiceServicer_to_server(Analyses(worker), server)
    model_pb2_grpc.add_ModelServiceServicer_to_server(Models(worker), server)


def provenance(worker: "FakeWorker", model: str) -> processing_pb2.Provenance:
    return processing_pb2.Provenance(
        model=model, source="maker/model", revision="c0ffee", precision="fp32", worker_version=worker.name
    )


def status(text: text_pb2.Text) -> status_pb2.Status | None:
    """Return the error of an empty text, None for others."""
    if text.content:
        return None
    info = error_details_pb2.ErrorInfo(
        reason="TEXT_EMPTY", domain="qda-worker", metadata={"remedy": "leave it out"}
    )
    message = "TEXT_EMPTY: the text has no characters. Remedy: leave it out"
    return status_pb2.Status(
        code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message=message, details=pack(info)
    )


def usage(text: text_pb2.Text) -> text_pb2.TextUsage:
    tokens = len(text.content.split())
    return text_pb2.TextUsage(
        outcome=text_pb2.LONG_TEXT_OUTCOME_WHOLE if tokens <= 8 else text_pb2.LONG_TEXT_OUTCOME_CUT,
        token_count=tokens,
        used_token_count=min(tokens, 8),
        limit_count=8,
        limit_unit=text_pb2.LENGTH_UNIT_TOKENS,
        window_count=1,
        character_count=len(text.content),
    )


def sentiment_of(text: text_pb2.Text, sentences: bool = False) -> sentiment_pb2.SentimentResult:
    problem = status(text)
    if problem is not None:
        return sentiment_pb2.SentimentResult(id=text.id, status=problem)
    happy = ":)" in text.content
    label = sentiment_pb2.SENTIMENT_LABEL_POSITIVE if happy else sentiment_pb2.SENTIMENT_LABEL_NEUTRAL
    scores = sentiment_pb2.SentimentProbabilities(
        positive=0.75 if happy else 0.25, neutral=0.25 if happy else 0.75
    )
    sentence = sentiment_pb2.SentenceSentiment(
        span=text_pb2.Span(start=0, end=len(text.content)),
        label=label,
        probabilities=scores,
        usage=usage(text),
    )
    return sentiment_pb2.SentimentResult(
        id=text.id,
        label=label,
        probabilities=scores,
        usage=usage(text),
        sentences=[sentence] if sentences else [],
    )


def entities_of(text: text_pb2.Text) -> entity_pb2.EntityResult:
    problem = status(text)
    if problem is not None:
        return entity_pb2.EntityResult(id=text.id, status=problem)
    entities, position = [], 0
    for word in text.content.split(" "):
        if word[:1].isupper():
            span = text_pb2.Span(start=position, end=position + len(word))
            entities.append(entity_pb2.Entity(text=word, label="PER", model_label="PER", span=span))
        position += len(word) + 1
    return entity_pb2.EntityResult(id=text.id, entities=entities, usage=usage(text))


def checked_syntax_of(text: text_pb2.Text) -> syntax_pb2.SyntaxResult:
    problem = status(text)
    if problem is not None:
        return syntax_pb2.SyntaxResult(id=text.id, status=problem)
    result = syntax_of(text)
    result.usage.CopyFrom(usage(text))
    return result


def embedding_of(text: text_pb2.Text, options: embedding_pb2.EmbeddingOptions) -> embedding_pb2.EmbedResult:
    problem = status(text)
    if problem is not None:
        return embedding_pb2.EmbedResult(id=text.id, status=problem)
    numbers = [float(len(text.content)), float(sum(char in "aeiou" for char in text.content))]
    half = options.element_type == embedding_pb2.ELEMENT_TYPE_FLOAT16
    dense = embedding_pb2.Tensor(
        shape=[2], element_type=options.element_type, data=struct.pack("<2e" if half else "<2f", *numbers)
    )
    return embedding_pb2.EmbedResult(id=text.id, usage=usage(text), dense=dense)


def stream_parts_of(
    index: int, text: text_pb2.Text, options: embedding_pb2.EmbeddingOptions
) -> Iterator[embedding_pb2.EmbedStreamResponse]:
    """Yield the vectors of a text; multi-vectors are code and position of each character, two rows in a message."""
    item = embedding_pb2.EmbedStreamItem(item_index=index, id=text.id)
    problem = status(text)
    if problem is not None:
        item.status.CopyFrom(problem)
        yield embedding_pb2.EmbedStreamResponse(item=item)
        return
    item.usage.CopyFrom(usage(text))
    kinds = options.kinds or [embedding_pb2.EMBEDDING_KIND_DENSE]

    def rows_of(
        kind: embedding_pb2.EmbeddingKind.ValueType, rows: list[list[float]]
    ) -> Iterator[embedding_pb2.EmbedStreamResponse]:
        for start in range(0, len(rows), 2):
            numbers = [number for row in rows[start : start + 2] for number in row]
            rows_sent = embedding_pb2.Tensor(
                shape=[len(numbers) // 2, 2],
                element_type=embedding_pb2.ELEMENT_TYPE_FLOAT32,
                data=struct.pack(f"<{len(numbers)}f", *numbers),
            )
            yield embedding_pb2.EmbedStreamResponse(
                rows=embedding_pb2.EmbedStreamRows(
                    item_index=index, kind=kind, row_offset=start, rows=rows_sent
                )
            )

    if embedding_pb2.EMBEDDING_KIND_DENSE in kinds:
        vowels = sum(char in "aeiou" for char in text.content)
        yield from rows_of(embedding_pb2.EMBEDDING_KIND_DENSE, [[float(len(text.content)), float(vowels)]])
    if embedding_pb2.EMBEDDING_KIND_MULTI_VECTOR in kinds:
        multi = [[float(ord(char)), float(position)] for position, char in enumerate(text.content)]
        yield from rows_of(embedding_pb2.EMBEDDING_KIND_MULTI_VECTOR, multi)
        item.multi_vector_row_count = len(multi)
    if embedding_pb2.EMBEDDING_KIND_SPARSE in kinds:
        item.sparse.token_ids.extend([7, 3])
        item.sparse.weights.extend([0.5, 0.25])
        item.sparse.tokens.extend(["▁gut", "▁und"])
    yield embedding_pb2.EmbedStreamResponse(item=item)


class Sentiments(sentiment_pb2_grpc.SentimentServiceServicer):
    def __init__(self, worker: "FakeWorker") -> None:
        self._worker = worker

    def AnalyzeSentiment(
        self, request: sentiment_pb2.AnalyzeSentimentRequest, context: grpc.ServicerContext
    ) -> sentiment_pb2.AnalyzeSentimentResponse:
        self._worker.receive(request, context)
        return sentiment_pb2.AnalyzeSentimentResponse(
            results=[sentiment_of(text, request.include_sentences) for text in request.texts],
            provenance=provenance(self._worker, request.model or "german-sentiment"),
            timings=TIMINGS,
            offset_encoding=request.offset_encoding,
        )


class Entities(entity_pb2_grpc.EntityServiceServicer):
    def __init__(self, worker: "FakeWorker") -> None:
        self._worker = worker

    def RecognizeEntities(
        self, request: entity_pb2.RecognizeEntitiesRequest, context: grpc.ServicerContext
    ) -> entity_pb2.RecognizeEntitiesResponse:
        self._worker.receive(request, context)
        return entity_pb2.RecognizeEntitiesResponse(
            results=[entities_of(text) for text in request.texts],
            provenance=provenance(self._worker, "german-ner"),
            timings=TIMINGS,
            offset_encoding=request.offset_encoding,
        )


class Syntax(syntax_pb2_grpc.SyntaxServiceServicer):
    def __init__(self, worker: "FakeWorker") -> None:
        self._worker = worker

    def AnalyzeSyntax(
        self, request: syntax_pb2.AnalyzeSyntaxRequest, context: grpc.ServicerContext
    ) -> syntax_pb2.AnalyzeSyntaxResponse:
        self._worker.receive(request, context)
        return syntax_pb2.AnalyzeSyntaxResponse(
            results=[checked_syntax_of(text) for text in request.texts],
            provenance=provenance(self._worker, "german-ner"),
            timings=TIMINGS,
            offset_encoding=request.offset_encoding,
            layers=request.layers,
        )


class Embeddings(embedding_pb2_grpc.EmbeddingServiceServicer):
    def __init__(self, worker: "FakeWorker") -> None:
        self._worker = worker

    def Embed(
        self, request: embedding_pb2.EmbedRequest, context: grpc.ServicerContext
    ) -> embedding_pb2.EmbedResponse:
        self._worker.receive(request, context)
        return embedding_pb2.EmbedResponse(
            results=[embedding_of(text, request.options) for text in request.texts],
            provenance=provenance(self._worker, "multilingual-embedding"),
            timings=TIMINGS,
        )

    def EmbedStream(
        self, request: embedding_pb2.EmbedStreamRequest, context: grpc.ServicerContext
    ) -> Iterator[embedding_pb2.EmbedStreamResponse]:
        self._worker.receive(request, context)
        breaks_after = self._worker.stream_breaks.pop(0) if self._worker.stream_breaks else None
        header = embedding_pb2.EmbedStreamHeader(
            provenance=provenance(self._worker, "multilingual-embedding")
        )
        yield embedding_pb2.EmbedStreamResponse(header=header)
        for index, text in enumerate(request.texts):
            for part in stream_parts_of(index, text, request.options):
                if index == breaks_after and part.HasField("item"):  # its rows were sent already
                    refuse(grpc.StatusCode.UNAVAILABLE, "DRAINING")(context)
                yield part
        yield embedding_pb2.EmbedStreamResponse(trailer=embedding_pb2.EmbedStreamTrailer(timings=TIMINGS))


class Paraphrases(paraphrase_pb2_grpc.ParaphraseServiceServicer):
    def __init__(self, worker: "FakeWorker") -> None:
        self._worker = worker

    def ScorePairs(
        self, request: paraphrase_pb2.ScorePairsRequest, context: grpc.ServicerContext
    ) -> paraphrase_pb2.ScorePairsResponse:
        self._worker.receive(request, context)
        results = []
        for pair in request.pairs:
            problem = status(pair.first) or status(pair.second)
            score = 1.0 if len(pair.first.content) == len(pair.second.content) else 0.5
            results.append(
                paraphrase_pb2.PairResult(id=pair.id, status=problem)
                if problem
                else paraphrase_pb2.PairResult(
                    id=pair.id, score=score, first_usage=usage(pair.first), second_usage=usage(pair.second)
                )
            )
        return paraphrase_pb2.ScorePairsResponse(
            results=results, provenance=provenance(self._worker, "multilingual-paraphrase"), timings=TIMINGS
        )

    def FindParaphrases(
        self, request_iterator: Iterable[paraphrase_pb2.FindParaphrasesRequest], context: grpc.ServicerContext
    ) -> Iterator[paraphrase_pb2.FindParaphrasesResponse]:
        parts = list(request_iterator)
        self._worker.receive(parts, context)
        sets: dict[int, list[text_pb2.Text]] = {1: [], 2: []}
        for part in parts[1:]:
            sets[part.texts.set].extend(part.texts.texts)
        header = paraphrase_pb2.FindParaphrasesHeader(
            provenance=provenance(self._worker, "multilingual-paraphrase")
        )
        yield paraphrase_pb2.FindParaphrasesResponse(header=header)
        for index, text in enumerate(sets[1]):
            problem = status(text)
            if problem is not None:
                text_problem = paraphrase_pb2.TextProblem(
                    set=paraphrase_pb2.TEXT_SET_FIRST, index=index, id=text.id, status=problem
                )
                yield paraphrase_pb2.FindParaphrasesResponse(problem=text_problem)
        breaks_after = self._worker.stream_breaks.pop(0) if self._worker.stream_breaks else None
        sent = 0
        by_length: dict[int, list[int]] = {}
        for second, other in enumerate(sets[2] or sets[1]):
            by_length.setdefault(len(other.content), []).append(second)
        for first, one in enumerate(sets[1]):
            for second in by_length.get(len(one.content), []):
                if one.content and (sets[2] or second > first):
                    if sent == breaks_after:
                        refuse(grpc.StatusCode.UNAVAILABLE, "DRAINING")(context)
                    sent += 1
                    pair = paraphrase_pb2.ParaphrasePair(first_index=first, second_index=second, score=1.0)
                    yield paraphrase_pb2.FindParaphrasesResponse(
                        pairs=paraphrase_pb2.ParaphraseChunk(pairs=[pair])
                    )
        summary = paraphrase_pb2.FindParaphrasesSummary(encoded_text_count=len(sets[1]), timings=TIMINGS)
        summary.cut_text_count = sum(usage(text).token_count > 8 for text in sets[1])
        yield paraphrase_pb2.FindParaphrasesResponse(summary=summary)


class Analyses(analysis_pb2_grpc.AnalysisServiceServicer):
    def __init__(self, worker: "FakeWorker") -> None:
        self._worker = worker

    def AnalyzeDocuments(
        self, request_iterator: Iterable[analysis_pb2.AnalyzeDocumentsRequest], context: grpc.ServicerContext
    ) -> Iterator[analysis_pb2.AnalyzeDocumentsResponse]:
        parts = iter(request_iterator)
        settings = next(parts).settings
        self._worker.receive(settings, context)
        breaks_after = self._worker.stream_breaks.pop(0) if self._worker.stream_breaks else None
        header = analysis_pb2.AnalyzeDocumentsHeader(offset_encoding=settings.offset_encoding)
        if settings.HasField("sentiment"):
            header.sentiment_provenance.CopyFrom(provenance(self._worker, "german-sentiment"))
        if settings.HasField("entities"):
            header.entity_provenance.CopyFrom(provenance(self._worker, "german-ner"))
        if settings.HasField("syntax"):
            header.syntax_provenance.CopyFrom(provenance(self._worker, "german-ner"))
            header.syntax_layers.extend(settings.syntax.layers)
        yield analysis_pb2.AnalyzeDocumentsResponse(header=header)
        for index, part in enumerate(parts):
            if index == breaks_after:
                refuse(grpc.StatusCode.UNAVAILABLE, "DRAINING")(context)
            text = part.document
            result = analysis_pb2.DocumentResult(index=index, id=text.id, timings=TIMINGS)
            if settings.HasField("sentiment"):
                result.sentiment.CopyFrom(sentiment_of(text))
            if settings.HasField("entities"):
                result.entities.CopyFrom(entities_of(text))
            if settings.HasField("syntax"):
                result.syntax.CopyFrom(checked_syntax_of(text))
            result.embeddings.extend(embedding_of(text, task.options) for task in settings.embeddings)
            yield analysis_pb2.AnalyzeDocumentsResponse(result=result)


class Models(model_pb2_grpc.ModelServiceServicer):
    def __init__(self, worker: "FakeWorker") -> None:
        self._worker = worker

    def ListModels(
        self, request: model_pb2.ListModelsRequest, context: grpc.ServicerContext
    ) -> model_pb2.ListModelsResponse:
        self._worker.receive(request, context)
        model = model_pb2.ModelInfo(
            key="german-sentiment",
            task=model_pb2.TASK_SENTIMENT,
            is_default=True,
            source="maker/model",
            revision="c0ffee",
            licence="MIT",
            limit_count=512,
            limit_unit=text_pb2.LENGTH_UNIT_TOKENS,
            labels=["positive", "negative", "neutral"],
            state=model_pb2.MODEL_STATE_SERVING,
        )
        limits = model_pb2.ServiceLimits(max_text_count=10_000, max_request_bytes=16 * 2**20)
        return model_pb2.ListModelsResponse(models=[model], limits=limits, worker_version=self._worker.name)

    def GetCacheStatus(
        self, request: model_pb2.GetCacheStatusRequest, context: grpc.ServicerContext
    ) -> model_pb2.GetCacheStatusResponse:
        self._worker.receive(request, context)
        if self._worker.health[""] == 1:
            return model_pb2.GetCacheStatusResponse(reason="OK", cache="/cache", total_bytes=7, file_count=1)
        problem = model_pb2.CacheProblem(file="config.json", reason="CACHE_INCOMPLETE", detail="is not there")
        missing = model_pb2.ModelCacheStatus(key="german-ner", reason="CACHE_INCOMPLETE", problem_count=2)
        missing.problems.append(problem)
        return model_pb2.GetCacheStatusResponse(
            reason="CACHE_INCOMPLETE",
            detail="1 file is missing",
            remedy="run cache-warmer warm",
            cache="/cache",
            models=[missing],
        )
