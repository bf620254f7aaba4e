"""The enumerations of the client's public API, for options and results.

Each member is also a string (`LongTexts.CUT == "cut"`), so it prints, compares and serializes to JSON as such.
`proto_enums` maps the members to protobuf's numbers. Imports neither gRPC nor protobuf: the options of `qda-client`
use these values.
"""

from enum import StrEnum


class LongTexts(StrEnum):
    """What to do with a text that is longer than its model's limit."""

    # The text's result is the error TEXT_TOO_LONG.
    ERROR = "error"
    # Only the beginning is used, as in transformers and sentence-transformers; the result's `usage` reports it.
    CUT = "cut"
    # The whole text is used, in overlapping windows whose results are combined.
    WINDOW = "window"


class LongTextOutcome(StrEnum):
    """How a text was fitted to its model's limit."""

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

    # Indices of Python strings: `text[entity.start:entity.end]` is the entity.
    CODE_POINTS = "code-points"
    # JavaScript, Java, C#.
    UTF16_UNITS = "utf-16"
    # Go, Rust, C; in Python, indices of `text.encode()`.
    UTF8_BYTES = "utf-8"


class Priority(StrEnum):
    """The scheduling lane of a request."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


class SentimentLabel(StrEnum):
    """The sentiment of a text or a sentence."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NEUTRAL = "neutral"


class LabelScheme(StrEnum):
    """The set of labels for entities."""

    # The labels of the model: LOC, MISC, ORG and PER for the default model.
    MODEL = "model"
    # The same for every model: PERSON, LOCATION, ORGANIZATION, OTHER, DATE, TIME, MONEY, QUANTITY.
    COMMON = "common"


class SyntaxLayer(StrEnum):
    """A kind of information about the tokens of a text."""

    SENTENCES = "sentences"
    LEMMA = "lemma"
    UNIVERSAL_PART_OF_SPEECH = "universal-part-of-speech"
    FINE_PART_OF_SPEECH = "fine-part-of-speech"
    MORPHOLOGY = "morphology"
    DEPENDENCY = "dependency"
    ENTITIES = "entities"


class EmbeddingKind(StrEnum):
    """The kind of a vector."""

    DENSE = "dense"
    SPARSE = "sparse"
    MULTI_VECTOR = "multi-vector"


class Numbers(StrEnum):
    """The number format of vectors in transit; in Python they are always single precision."""

    FLOAT32 = "float32"
    # Half the size, three significant digits.
    FLOAT16 = "float16"


class Task(StrEnum):
    """The task of a model."""

    UNSPECIFIED = "unspecified"
    SENTIMENT = "sentiment"
    ENTITIES = "entities"
    EMBEDDING = "embedding"
    PARAPHRASE = "paraphrase"
    SYNTAX = "syntax"


class ModelState(StrEnum):
    """The state of a model in the worker."""

    UNSPECIFIED = "unspecified"
    WAITING_FOR_CACHE = "waiting for cache"
    LOADING = "loading"
    SERVING = "serving"
    FAILED = "failed"


class Health(StrEnum):
    """The serving status that the health service reports."""

    UNKNOWN = "UNKNOWN"
    SERVING = "SERVING"
    NOT_SERVING = "NOT_SERVING"
    # The worker has no service of that name.
    SERVICE_UNKNOWN = "SERVICE_UNKNOWN"
