"""Results of all text tasks: one message per text, with an answer or a status.

A text that failed has its status and no answer; the other texts of the request keep theirs. The conversion module of
each task supplies the function that writes an answer into its own message type.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from qda.v1 import embedding_pb2, entity_pb2, sentiment_pb2, syntax_pb2
from qda_worker.conversion.metadata import build_usage
from qda_worker.conversion.request_fields import TextBatch
from qda_worker.conversion.rpc_status import build_status
from qda_worker.errors import WorkerError
from qda_worker.models.base import ModelInfo
from qda_worker.scheduling.jobs import Failure, Outcome

ResultMessage = TypeVar(
    "ResultMessage",
    sentiment_pb2.SentimentResult,
    entity_pb2.EntityResult,
    embedding_pb2.EmbedResult,
    syntax_pb2.SyntaxResult,
)


def fill_results(
    new_result: Callable[[], ResultMessage],
    texts: TextBatch,
    outcomes: Sequence[Outcome[Any]],
    info: ModelInfo,
    fill_answer: Callable[[ResultMessage, str, Any], None],
) -> None:
    """Fill one result for each text, in their order.

    Args:
        new_result: returns the next empty message, usually `response.results.add`.
        texts: the texts of the request.
        outcomes: one for each text.
        info: the model that answered.
        fill_answer: see `fill_result`.
    """
    for text_id, content, outcome in zip(texts.ids, texts.contents, outcomes, strict=True):
        fill_result(new_result(), text_id, content, outcome, info, fill_answer)


def fill_result(
    result: ResultMessage,
    text_id: str,
    content: str,
    outcome: Outcome[Any],
    info: ModelInfo,
    fill_answer: Callable[[ResultMessage, str, Any], None],
) -> None:
    """Fill the result of one text: id, then usage and answer, or a status.

    Args:
        result: an empty message.
        text_id: the caller's id.
        content: the text as sent.
        outcome: what the model's queue returned for it.
        info: the model that answered.
        fill_answer: writes an answer into the message, given the text as sent. A WorkerError that it raises becomes
            the status of this text, and what it had written is removed.
    """
    result.id = text_id
    if isinstance(outcome, Failure):
        result.status.CopyFrom(build_status(outcome.error))
        return
    usage = build_usage(outcome.usage, info, content)
    result.usage.CopyFrom(usage)
    try:
        fill_answer(result, content, outcome.result)
    except WorkerError as error:
        result.Clear()
        result.id = text_id
        result.usage.CopyFrom(usage)
        result.status.CopyFrom(build_status(error))
