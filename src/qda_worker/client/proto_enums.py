"""Map between the members of `enums` and protobuf's enum numbers.

One table for each enumeration. Members are converted strictly, because they come from the caller; numbers
leniently, because a newer worker may send numbers that this client's proto does not have.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, TypeVar

from qda.v1 import embedding_pb2, entity_pb2, model_pb2, processing_pb2, sentiment_pb2, syntax_pb2, text_pb2
from qda_worker.client import enums
from qda_worker.client.errors import InvalidRequest, Violation

E = TypeVar("E", bound=StrEnum)
N = TypeVar("N", bound=int)

LONG_TEXTS: Final = {
    enums.LongTexts.ERROR: text_pb2.LONG_TEXT_POLICY_ERROR,
    enums.LongTexts.CUT: text_pb2.LONG_TEXT_POLICY_CUT,
    enums.LongTexts.WINDOW: text_pb2.LONG_TEXT_POLICY_WINDOW,
}
OFFSETS: Final = {
    enums.Offsets.CODE_POINTS: text_pb2.OFFSET_ENCODING_CODE_POINTS,
    enums.Offsets.UTF16_UNITS: text_pb2.OFFSET_ENCODING_UTF16_UNITS,
    enums.Offsets.UTF8_BYTES: text_pb2.OFFSET_ENCODING_UTF8_BYTES,
}
PRIORITIES: Final = {
    enums.Priority.INTERACTIVE: processing_pb2.PRIORITY_INTERACTIVE,
    enums.Priority.BULK: processing_pb2.PRIORITY_BULK,
}
LABEL_SCHEMES: Final = {
    enums.LabelScheme.MODEL: entity_pb2.LABEL_SCHEME_MODEL,
    enums.LabelScheme.COMMON: entity_pb2.LABEL_SCHEME_COMMON,
}
EMBEDDING_KINDS: Final = {
    enums.EmbeddingKind.DENSE: embedding_pb2.EMBEDDING_KIND_DENSE,
    enums.EmbeddingKind.SPARSE: embedding_pb2.EMBEDDING_KIND_SPARSE,
    enums.EmbeddingKind.MULTI_VECTOR: embedding_pb2.EMBEDDING_KIND_MULTI_VECTOR,
}
SYNTAX_LAYERS: Final = {
    enums.SyntaxLayer.SENTENCES: syntax_pb2.SYNTAX_LAYER_SENTENCES,
    enums.SyntaxLayer.LEMMA: syntax_pb2.SYNTAX_LAYER_LEMMA,
    enums.SyntaxLayer.UNIVERSAL_PART_OF_SPEECH: syntax_pb2.SYNTAX_LAYER_UNIVERSAL_PART_OF_SPEECH,
    enums.SyntaxLayer.FINE_PART_OF_SPEECH: syntax_pb2.SYNTAX_LAYER_FINE_PART_OF_SPEECH,
    enums.SyntaxLayer.MORPHOLOGY: syntax_pb2.SYNTAX_LAYER_MORPHOLOGY,
    enums.SyntaxLayer.DEPENDENCY: syntax_pb2.SYNTAX_LAYER_DEPENDENCY,
    enums.SyntaxLayer.ENTITIES: syntax_pb2.SYNTAX_LAYER_ENTITIES,
}
NUMBERS: Final = {
    enums.Numbers.FLOAT32: embedding_pb2.ELEMENT_TYPE_FLOAT32,
    enums.Numbers.FLOAT16: embedding_pb2.ELEMENT_TYPE_FLOAT16,
}
SENTIMENT_LABELS: Final = {
    enums.SentimentLabel.POSITIVE: sentiment_pb2.SENTIMENT_LABEL_POSITIVE,
    enums.SentimentLabel.NEGATIVE: sentiment_pb2.SENTIMENT_LABEL_NEGATIVE,
    enums.SentimentLabel.NEUTRAL: sentiment_pb2.SENTIMENT_LABEL_NEUTRAL,
}
OUTCOMES: Final = {
    enums.LongTextOutcome.UNSPECIFIED: text_pb2.LONG_TEXT_OUTCOME_UNSPECIFIED,
    enums.LongTextOutcome.WHOLE: text_pb2.LONG_TEXT_OUTCOME_WHOLE,
    enums.LongTextOutcome.CUT: text_pb2.LONG_TEXT_OUTCOME_CUT,
    enums.LongTextOutcome.WINDOWED: text_pb2.LONG_TEXT_OUTCOME_WINDOWED,
}
LIMIT_UNITS: Final = {
    enums.LimitUnit.UNSPECIFIED: text_pb2.LENGTH_UNIT_UNSPECIFIED,
    enums.LimitUnit.TOKENS: text_pb2.LENGTH_UNIT_TOKENS,
    enums.LimitUnit.CHARACTERS: text_pb2.LENGTH_UNIT_CHARACTERS,
}
TASKS: Final = {
    enums.Task.UNSPECIFIED: model_pb2.TASK_UNSPECIFIED,
    enums.Task.SENTIMENT: model_pb2.TASK_SENTIMENT,
    enums.Task.ENTITIES: model_pb2.TASK_ENTITIES,
    enums.Task.EMBEDDING: model_pb2.TASK_EMBEDDING,
    enums.Task.PARAPHRASE: model_pb2.TASK_PARAPHRASE,
    enums.Task.SYNTAX: model_pb2.TASK_SYNTAX,
}
MODEL_STATES: Final = {
    enums.ModelState.UNSPECIFIED: model_pb2.MODEL_STATE_UNSPECIFIED,
    enums.ModelState.WAITING_FOR_CACHE: model_pb2.MODEL_STATE_WAITING_FOR_CACHE,
    enums.ModelState.LOADING: model_pb2.MODEL_STATE_LOADING,
    enums.ModelState.SERVING: model_pb2.MODEL_STATE_SERVING,
    enums.ModelState.FAILED: model_pb2.MODEL_STATE_FAILED,
}


def to_number(numbers: Mapping[E, N], member: E, argument: str) -> N:
    """Return the number of a member; a plain string with the member's value is accepted too.

    Args:
        numbers: one of this module's tables.
        member: the caller's value.
        argument: the name of the caller's argument, for the error.

    Raises:
        InvalidRequest: when there is no such member.
    """
    try:
        return numbers[member]
    except (KeyError, TypeError) as error:
        allowed = ", ".join(str(each) for each in numbers)
        description = f"{member!r} is not one of: {allowed}"
        raise InvalidRequest(
            f"{argument}: {description}", violations=[Violation(argument, description)]
        ) from error


def to_numbers(numbers: Mapping[E, N], members: Iterable[E], argument: str) -> list[N]:
    """Return the numbers of several members; see `to_number`."""
    return [to_number(numbers, member, argument) for member in members]


def to_enum(numbers: Mapping[E, N], number: int) -> E | None:
    """Return the member with a number; None for a number that is not in the table."""
    return next((member for member, value in numbers.items() if value == number), None)


def to_enums(numbers: Mapping[E, N], values: Iterable[int]) -> tuple[E, ...]:
    """Return the members with several numbers, without the numbers that are not in the table."""
    members = (to_enum(numbers, value) for value in values)
    return tuple(member for member in members if member is not None)


def to_enum_or(numbers: Mapping[E, N], number: int, default: E) -> E:
    """Return the member with a number; `default` for a number that is not in the table."""
    return to_enum(numbers, number) or default
