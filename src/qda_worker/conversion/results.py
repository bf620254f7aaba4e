"""The models' answers as the proto's results, one for each text; a text without an answer has its status instead."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from qda.v1 import embedding_pb2, entity_pb2, sentiment_pb2, text_pb2
from qda_worker.conversion.metadata import usage
from qda_worker.conversion.request_fields import common_label
from qda_worker.conversion.rpc_status import status_of
from qda_worker.errors import WorkerError
from qda_worker.models.base import ModelInfo
from qda_worker.models.offsets import OffsetEncoding, convert_spans
from qda_worker.scheduling.jobs import Failed, Outcome

if TYPE_CHECKING:
    from qda_worker.models.entity_windows import Entity
    from qda_worker.models.sentiment import Sentiment, SentimentAnswer  # at run time it would bring torch

_Result = TypeVar(
    "_Result", sentiment_pb2.SentimentResult, entity_pb2.EntityResult, embedding_pb2.EmbedResult
)

# In the order in which equal probabilities are decided.
_SENTIMENTS: Final = (
    ("positive", sentiment_pb2.SENTIMENT_LABEL_POSITIVE),
    ("negative", sentiment_pb2.SENTIMENT_LABEL_NEGATIVE),
    ("neutral", sentiment_pb2.SENTIMENT_LABEL_NEUTRAL),
)


def results(
    texts: Sequence[text_pb2.Text],
    outcomes: Sequence[Outcome[Any]],
    info: ModelInfo,
    kind: type[_Result],
    fill: Callable[[_Result, str, Any], None],
) -> list[_Result]:
    """One result a text, in their order. `fill` puts an answer into its result; what it raises is its status."""
    made = []
    for text, outcome in zip(texts, outcomes, strict=True):
        result = kind(id=text.id)
        if isinstance(outcome, Failed):
            result.status.CopyFrom(status_of(outcome.error))
        else:
            result.usage.CopyFrom(usage(outcome.usage, info, text.content))
            try:
                fill(result, text.content, outcome.result)
            except WorkerError as error:
                result = kind(id=text.id, usage=result.usage, status=status_of(error))
        made.append(result)
    return made


def fill_sentiment(
    info: ModelInfo, encoding: OffsetEncoding | None
) -> "Callable[[sentiment_pb2.SentimentResult, str, SentimentAnswer], None]":
    """Label and probabilities of the text and of its sentences, whose spans are in `encoding`; None without them."""

    def fill(result: sentiment_pb2.SentimentResult, text: str, answer: "SentimentAnswer") -> None:
        _fill_label(result, answer.probabilities)
        if encoding is None:
            return
        places = [(sentence.span.start, sentence.span.end) for sentence in answer.sentences]
        spans = convert_spans(text, places, encoding)
        for sentence, (first, last), (start, end) in zip(answer.sentences, places, spans, strict=True):
            added = result.sentences.add(
                span=text_pb2.Span(start=start, end=end), usage=usage(sentence.usage, info, text[first:last])
            )
            _fill_label(added, sentence.probabilities)

    return fill


def _fill_label(
    result: sentiment_pb2.SentimentResult | sentiment_pb2.SentenceSentiment,
    probabilities: "Mapping[Sentiment, float]",
) -> None:
    """The most probable label, of equal ones the first of positive, negative, neutral; and all probabilities."""
    values = {str(name): float(value) for name, value in probabilities.items()}
    result.label = max(_SENTIMENTS, key=lambda pair: values.get(pair[0], 0.0))[1]
    for name, _ in _SENTIMENTS:
        setattr(result.probabilities, name, values.get(name, 0.0))


def fill_entities(
    encoding: OffsetEncoding, *, common: bool, wanted: Collection[str]
) -> "Callable[[entity_pb2.EntityResult, str, Sequence[Entity]], None]":
    """Entities with spans in `encoding`, by their common labels if `common`; only those `wanted`, if any are named."""

    def fill(result: entity_pb2.EntityResult, text: str, answer: "Sequence[Entity]") -> None:
        labelled = [(entity, common_label(entity.label) if common else entity.label) for entity in answer]
        kept = [(entity, label) for entity, label in labelled if not wanted or label in wanted]
        spans = convert_spans(text, [(entity.start, entity.end) for entity, _ in kept], encoding)
        for (entity, label), (start, end) in zip(kept, spans, strict=True):
            result.entities.add(
                text=entity.text,
                label=label,
                model_label=entity.label,
                span=text_pb2.Span(start=start, end=end),
            )

    return fill
