"""Convert protobuf responses to the values of `results`. No I/O; shared by both clients.

One function for each message. Enum numbers that this client does not know become `UNSPECIFIED`, because a newer worker
may send them; only an unknown sentiment is an error, because the result would have no label.
"""

from google.protobuf.duration_pb2 import Duration
from google.rpc import status_pb2

from qda.v1 import (
    analysis_pb2,
    embedding_pb2,
    entity_pb2,
    paraphrase_pb2,
    processing_pb2,
    sentiment_pb2,
    syntax_pb2,
    text_pb2,
)
from qda_worker.client import proto_enums, results, vectors
from qda_worker.client.enums import LimitUnit, LongTextOutcome, Offsets, SentimentLabel, SyntaxLayer
from qda_worker.client.errors import ServerFailed
from qda_worker.client.grpc_errors import error_details
from qda_worker.client.results import AnalysisProvenance, DocumentAnalysis, TextProblem
from qda_worker.client.tokens import Token, TokenRange


def item_error(status: status_pb2.Status) -> results.ItemError:
    """Return why a text has no result."""
    details = error_details(status)
    return results.ItemError(details.reason or f"STATUS_{status.code}", details.message, details.remedy)


def usage(message: text_pb2.TextUsage) -> results.Usage:
    """Return how much of a text the model read."""
    return results.Usage(
        outcome=proto_enums.to_enum_or(proto_enums.OUTCOMES, message.outcome, LongTextOutcome.UNSPECIFIED),
        tokens=message.token_count,
        used_tokens=message.used_token_count,
        limit=message.limit_count,
        limit_unit=proto_enums.to_enum_or(proto_enums.LIMIT_UNITS, message.limit_unit, LimitUnit.UNSPECIFIED),
        windows=message.window_count,
        characters=message.character_count,
    )


def provenance(message: processing_pb2.Provenance) -> results.Provenance:
    """Return the model and the worker that computed the results."""
    return results.Provenance(
        model=message.model,
        source=message.source,
        revision=message.revision,
        precision=message.precision,
        worker_version=message.worker_version,
        model_digest=message.model_digest,
        generation=message.generation,
        engines=tuple(message.engines),
        prompt_name=message.prompt_name,
        prompt=message.prompt,
        components=tuple(message.components),
    )


def timings(message: processing_pb2.Timings) -> results.Timings:
    """Return the durations of a request."""
    return results.Timings(
        queue=_seconds(message.queue_duration),
        tokenize=_seconds(message.tokenize_duration),
        compute=_seconds(message.compute_duration),
        total=_seconds(message.total_duration),
    )


def sentiment(message: sentiment_pb2.SentimentResult, offsets: Offsets | None) -> results.Sentiment:
    """Return the sentiment of one text; `offsets` is the unit of its sentences' positions.

    Raises:
        ServerFailed: when the label is unknown.
    """
    if message.HasField("status"):
        return results.Sentiment(
            id=message.id,
            error=item_error(message.status),
            label=None,
            probabilities=None,
            usage=_usage_without_result(message),
        )
    return results.Sentiment(
        id=message.id,
        error=None,
        label=_label(message.label),
        probabilities=_probabilities(message.probabilities),
        usage=usage(message.usage),
        sentences=tuple(
            results.Sentence(
                start=sentence.span.start,
                end=sentence.span.end,
                label=_label(sentence.label),
                probabilities=_probabilities(sentence.probabilities),
                usage=usage(sentence.usage) if sentence.HasField("usage") else None,
            )
            for sentence in message.sentences
        ),
        offsets=offsets,
    )


def entities(message: entity_pb2.EntityResult, offsets: Offsets | None) -> results.Entities:
    """Return the entities of one text; `offsets` is the unit of their positions."""
    if message.HasField("status"):
        return results.Entities(
            message.id, item_error(message.status), (), _usage_without_result(message), offsets
        )
    return results.Entities(
        id=message.id,
        error=None,
        entities=tuple(
            results.Entity(
                text=entity.text,
                label=entity.label,
                model_label=entity.model_label,
                start=entity.span.start,
                end=entity.span.end,
            )
            for entity in message.entities
        ),
        usage=usage(message.usage),
        offsets=offsets,
    )


def syntax(
    message: syntax_pb2.SyntaxResult,
    offsets: Offsets | None,
    layers: tuple[SyntaxLayer, ...] | None = None,
) -> results.Syntax:
    """Return the tokens of one text; `offsets` is the unit of their positions, `layers` what they have."""
    if message.HasField("status"):
        return results.Syntax(
            message.id, item_error(message.status), (), (), _usage_without_result(message), offsets, layers
        )
    return results.Syntax(
        id=message.id,
        error=None,
        sentences=tuple(
            TokenRange(each.span.start, each.span.end, each.first_token_index, each.token_count)
            for each in message.sentences
        ),
        tokens=tuple(map(_token, message.tokens)),
        usage=usage(message.usage),
        offsets=offsets,
        layers=layers,
    )


def embedding(message: embedding_pb2.EmbedResult) -> results.Embedding:
    """Return the vectors of one text.

    Raises:
        ServerFailed: when a tensor is inconsistent.
    """
    if message.HasField("status"):
        return results.Embedding(message.id, item_error(message.status), _usage_without_result(message))
    return results.Embedding(
        id=message.id,
        error=None,
        usage=usage(message.usage),
        dense=vectors.vector(message.dense) if message.HasField("dense") else None,
        sparse=_sparse(message.sparse) if message.HasField("sparse") else None,
        multi_vector=vectors.matrix(message.multi_vector) if message.HasField("multi_vector") else None,
    )


def streamed_embedding(
    message: embedding_pb2.EmbedStreamItem, dense: "results.Vector | None", multi: "results.Matrix | None"
) -> results.Embedding:
    """Return the vectors of one text from a stream, whose rows arrived before this message."""
    if message.HasField("status"):
        return results.Embedding(message.id, item_error(message.status), _usage_without_result(message))
    return results.Embedding(
        id=message.id,
        error=None,
        usage=usage(message.usage),
        dense=dense,
        sparse=_sparse(message.sparse) if message.HasField("sparse") else None,
        multi_vector=multi,
    )


def pair_score(message: paraphrase_pb2.PairResult) -> results.PairScore:
    """Return the score of one pair."""
    failed = message.HasField("status")
    return results.PairScore(
        id=message.id,
        error=item_error(message.status) if failed else None,
        score=None if failed else message.score,
        first_usage=usage(message.first_usage) if message.HasField("first_usage") else None,
        second_usage=usage(message.second_usage) if message.HasField("second_usage") else None,
    )


def text_problem(message: paraphrase_pb2.TextProblem) -> TextProblem:
    """Return a text that could not be used in a search for paraphrases, and why."""
    return TextProblem(
        in_others=message.set == paraphrase_pb2.TEXT_SET_SECOND,
        index=message.index,
        id=message.id,
        error=item_error(message.status),
    )


def analysis_provenance(message: analysis_pb2.AnalyzeDocumentsHeader) -> AnalysisProvenance:
    """Return the models that compute the results of a stream of documents."""
    return AnalysisProvenance(
        sentiment=provenance(message.sentiment_provenance)
        if message.HasField("sentiment_provenance")
        else None,
        entities=provenance(message.entity_provenance) if message.HasField("entity_provenance") else None,
        embeddings=tuple(provenance(each) for each in message.embedding_provenances),
        syntax=provenance(message.syntax_provenance) if message.HasField("syntax_provenance") else None,
    )


def document(
    message: analysis_pb2.DocumentResult,
    index: int,
    offsets: Offsets | None,
    provenance: AnalysisProvenance,
    layers: tuple[SyntaxLayer, ...] | None = None,
) -> DocumentAnalysis:
    """Return the analysis of one document.

    Args:
        message: its result.
        index: its position among all documents of the call, over all streams.
        offsets: the unit of positions.
        provenance: the models of the stream.
        layers: what its syntax has; None if unknown.
    """
    return DocumentAnalysis(
        index=index,
        id=message.id,
        error=item_error(message.status) if message.HasField("status") else None,
        sentiment=sentiment(message.sentiment, offsets) if message.HasField("sentiment") else None,
        entities=entities(message.entities, offsets) if message.HasField("entities") else None,
        embeddings=tuple(embedding(each) for each in message.embeddings),
        provenance=provenance,
        timings=timings(message.timings),
        syntax=syntax(message.syntax, offsets, layers) if message.HasField("syntax") else None,
    )


def offset_unit(encoding: text_pb2.OffsetEncoding.ValueType) -> Offsets | None:
    """Return the unit of positions in a response; None if it has no positions."""
    return proto_enums.to_enum(proto_enums.OFFSETS, encoding)


def _sparse(message: embedding_pb2.SparseVector) -> results.SparseVector:
    return results.SparseVector(tuple(message.token_ids), tuple(message.weights), tuple(message.tokens))


def _token(message: syntax_pb2.Token) -> Token:
    span = message.span
    return Token(
        message.text,
        span.start,
        span.end,
        message.space_after,
        message.lemma,
        message.universal_part_of_speech,
        message.fine_part_of_speech,
        message.morphology,
        message.head_index if message.HasField("head_index") else None,
        message.dependency_label,
        message.entity_label,
        message.entity_begins,
    )


def _usage_without_result(
    message: sentiment_pb2.SentimentResult
    | entity_pb2.EntityResult
    | syntax_pb2.SyntaxResult
    | embedding_pb2.EmbedResult
    | embedding_pb2.EmbedStreamItem,
) -> results.Usage | None:
    """Return the usage of a text without a result: one that is too long still has its length."""
    return usage(message.usage) if message.HasField("usage") else None


def _label(label: int) -> SentimentLabel:
    sentiment_label = proto_enums.to_enum(proto_enums.SENTIMENT_LABELS, label)
    if sentiment_label is None:
        raise ServerFailed(f"the worker answered with the sentiment {label}, which this client does not know")
    return sentiment_label


def _probabilities(message: sentiment_pb2.SentimentProbabilities) -> results.Probabilities:
    return results.Probabilities(message.positive, message.negative, message.neutral)


def _seconds(duration: Duration) -> float:
    return duration.seconds + duration.nanos / 1e9
