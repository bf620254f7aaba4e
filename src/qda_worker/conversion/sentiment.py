"""AnalyzeSentiment: the request as a value, the limit on its sentences, and the results as messages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from qda.v1 import sentiment_pb2 as pb
from qda.v1 import text_pb2
from qda_worker.conversion.metadata import build_provenance, build_timings, build_usage
from qda_worker.conversion.request_fields import (
    TextBatch,
    parse_long_text_policy,
    parse_offset_encoding,
    parse_priority,
    parse_texts,
)
from qda_worker.conversion.results import fill_results
from qda_worker.errors import TooManyTexts, Violation
from qda_worker.limits import MAX_SENTENCES
from qda_worker.models.base import LongText, ModelInfo, Options
from qda_worker.models.offsets import OffsetEncoding, convert_spans
from qda_worker.models.sentence_units import SentenceOptions
from qda_worker.registry.registry import SelectedModel
from qda_worker.scheduling.jobs import Lane, Outcome
from qda_worker.sentences.german_sentences import max_sentence_count, sentence_spans

if TYPE_CHECKING:  # imports torch
    from qda_worker.models.sentiment import Sentiment, SentimentAnswer

# Of equal probabilities the first in this order is the label.
_LABELS: Final = (
    ("positive", pb.SENTIMENT_LABEL_POSITIVE),
    ("negative", pb.SENTIMENT_LABEL_NEGATIVE),
    ("neutral", pb.SENTIMENT_LABEL_NEUTRAL),
)


@dataclass(frozen=True, slots=True)
class SentimentRequest:
    """A parsed AnalyzeSentimentRequest.

    Attributes:
        texts: the texts to classify.
        model: the key of the model; empty for the default.
        options: for the model; `SentenceOptions` if the sentences are classified as well.
        lane: the lane of the queue; None: by the size of the call.
        span_encoding: the unit of the sentences' spans; None without sentences.
        offset_encoding: the field as sent, which the response repeats.
    """

    texts: TextBatch
    model: str
    options: Options
    lane: Lane | None
    span_encoding: OffsetEncoding | None
    offset_encoding: text_pb2.OffsetEncoding.ValueType


def parse_analyze_sentiment(request: pb.AnalyzeSentimentRequest) -> SentimentRequest:
    """Parse an AnalyzeSentimentRequest.

    Raises:
        InvalidRequest: when a field is missing or out of range.
    """
    texts = parse_texts(request.texts)
    span_encoding = parse_offset_encoding(request.offset_encoding) if request.include_sentences else None
    long_text = parse_long_text_policy(request.long_text_policy)
    return SentimentRequest(
        texts=texts,
        model=request.model,
        options=sentiment_options(long_text, include_sentences=request.include_sentences),
        lane=parse_priority(request.priority, None),
        span_encoding=span_encoding,
        offset_encoding=request.offset_encoding,
    )


def sentiment_options(long_text: LongText, *, include_sentences: bool) -> Options:
    """Return the options for the model, with or without the sentences of each text."""
    return SentenceOptions(long_text) if include_sentences else Options(long_text)


def check_sentence_count(contents: Sequence[str], max_sentences: int = MAX_SENTENCES) -> None:
    """Check that the results of all sentences fit into one response.

    A text of 16 MB may have millions of sentences, so this comes before anything is computed. Counting the characters
    that end sentences gives an upper bound quickly; only above the limit are the sentences themselves counted, which
    may take a second for each 5 MB.

    Raises:
        TooManyTexts: when the texts have more than `max_sentences`.
    """
    if sum(map(max_sentence_count, contents)) <= max_sentences:
        return
    count = sum(len(sentence_spans(content)) for content in contents)
    if count > max_sentences:
        raise TooManyTexts(
            f"the texts have {count} sentences; at most {max_sentences} are allowed in one request",
            "send the texts in several requests, or leave include_sentences out",
            violations=[Violation("texts", f"hold {count} sentences; at most {max_sentences}")],
        )


def build_analyze_sentiment(
    request: SentimentRequest, outcomes: Sequence[Outcome[Any]], selected: SelectedModel, started: float
) -> pb.AnalyzeSentimentResponse:
    """Build the response from the outcome of each text; `started` as in `build_timings`."""
    response = pb.AnalyzeSentimentResponse(
        provenance=build_provenance(selected, request.options), offset_encoding=request.offset_encoding
    )
    info = selected.engine.info
    fill_answer = partial(fill_sentiment, info=info, span_encoding=request.span_encoding)
    fill_results(response.results.add, request.texts, outcomes, info, fill_answer)
    response.timings.CopyFrom(build_timings((outcome.timings for outcome in outcomes), started))
    return response


def fill_sentiment(
    result: pb.SentimentResult,
    content: str,
    answer: "SentimentAnswer",
    *,
    info: ModelInfo,
    span_encoding: OffsetEncoding | None,
) -> None:
    """Fill label and probabilities of the text and, with a `span_encoding`, of its sentences."""
    _fill_label(result, answer.probabilities)
    if span_encoding is None:
        return
    code_points = [(sentence.span.start, sentence.span.end) for sentence in answer.sentences]
    spans = convert_spans(content, code_points, span_encoding)
    for sentence, (first, last), (start, end) in zip(answer.sentences, code_points, spans, strict=True):
        message = result.sentences.add(
            span=text_pb2.Span(start=start, end=end),
            usage=build_usage(sentence.usage, info, content[first:last]),
        )
        _fill_label(message, sentence.probabilities)


def _fill_label(
    message: pb.SentimentResult | pb.SentenceSentiment, probabilities: "Mapping[Sentiment, float]"
) -> None:
    values = {str(name): float(value) for name, value in probabilities.items()}
    message.label = max(_LABELS, key=lambda pair: values.get(pair[0], 0.0))[1]
    for name, _ in _LABELS:
        setattr(message.probabilities, name, values.get(name, 0.0))
