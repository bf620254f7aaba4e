"""What a caller can choose, and what an answer can say, as plain Python words instead of protobuf numbers.

Each word is a string too (`LongTexts.CUT == "cut"`), so that it prints, compares and travels as JSON without ado.
"""

from enum import StrEnum


class LongTexts(StrEnum):
    """What shall happen to a text that is longer than its model reads."""

    # That text's result is an error, TEXT_TOO_LONG.
    ERROR = "error"
    # The beginning is used, as the plain libraries do it; the result's `usage` says so.
    CUT = "cut"
    # All of it is used, in overlapping windows whose results are joined.
    WINDOW = "window"


class LongTextOutcome(StrEnum):
    """What was done about a text's length."""

    UNSPECIFIED = "unspecified"
    WHOLE = "whole"
    CUT = "cut"
    WINDOWED = "windowed"


class LimitUnit(StrEnum):
    """The unit in which a model's limit is counted."""

    UNSPECIFIED = "unspecified"
    TOKENS = "tokens"
    CHARACTERS = "characters"


class Offsets(StrEnum):
    """The unit in which positions in a text are counted."""

    # Python's own: `text[entity.start:entity.end]` is the entity.
    CODE_POINTS = "code-points"
    # JavaScript, Java, C#.
    UTF16_UNITS = "utf-16"
    # Go, Rust, C; in Python positions in `text.encode()`.
    UTF8_BYTES = "utf-8"


class Priority(StrEnum):
    """The lane in which a request waits."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


class SentimentLabel(StrEnum):
    """The answer in one word."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NEUTRAL = "neutral"


class LabelScheme(StrEnum):
    """By which names the kinds of entities are called."""

    # The model's own: LOC, MISC, ORG and PER for the default model.
    MODEL = "model"
    # The same for every model: PERSON, LOCATION, ORGANIZATION, OTHER, DATE, TIME, MONEY, QUANTITY.
    COMMON = "common"


class EmbeddingKind(StrEnum):
    """A form of vector."""

    DENSE = "dense"
    SPARSE = "sparse"
    MULTI_VECTOR = "multi-vector"


class Numbers(StrEnum):
    """The form in which vectors travel; in Python they are always single precision."""

    FLOAT32 = "float32"
    # Half the bytes, three significant digits.
    FLOAT16 = "float16"


class Task(StrEnum):
    """What a model is for."""

    UNSPECIFIED = "unspecified"
    SENTIMENT = "sentiment"
    ENTITIES = "entities"
    EMBEDDING = "embedding"
    PARAPHRASE = "paraphrase"


class ModelState(StrEnum):
    """Where a model is on its way into service."""

    UNSPECIFIED = "unspecified"
    WAITING_FOR_CACHE = "waiting for cache"
    LOADING = "loading"
    SERVING = "serving"
    FAILED = "failed"


class Health(StrEnum):
    """What the health service says."""

    UNKNOWN = "UNKNOWN"
    SERVING = "SERVING"
    NOT_SERVING = "NOT_SERVING"
    # This worker has no service of that name.
    SERVICE_UNKNOWN = "SERVICE_UNKNOWN"
