"""What a request asks for, as the worker's own values; whatever is out of range is refused here.

Enum numbers that this worker does not know come from newer or broken clients: guessing what they mean would answer
another question, so they are refused too.

Entity labels by names that are the same for every model.

The models' own labels come from the corpora they were trained on: WikiNER and CoNLL (PER, LOC, ORG, MISC), OntoNotes
(PERSON, GPE, CARDINAL and so on).
"""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol, TypeVar

from qda.v1 import embedding_pb2, entity_pb2, processing_pb2, text_pb2
from qda_worker.errors import ArgumentInvalid, EncodingMissing, TooManyTexts, Violation
from qda_worker.limits import MAX_ID_BYTES, MAX_TEXTS
from qda_worker.models.base import LongText
from qda_worker.models.offsets import OffsetEncoding
from qda_worker.scheduling.jobs import Lane

_Value = TypeVar("_Value")

_LONG_TEXT: Final[Mapping[int, LongText]] = {
    text_pb2.LONG_TEXT_POLICY_UNSPECIFIED: LongText.CUT,
    text_pb2.LONG_TEXT_POLICY_ERROR: LongText.ERROR,
    text_pb2.LONG_TEXT_POLICY_CUT: LongText.CUT,
    text_pb2.LONG_TEXT_POLICY_WINDOW: LongText.WINDOW,
}
_LANES: Final[Mapping[int, Lane]] = {
    processing_pb2.PRIORITY_INTERACTIVE: Lane.INTERACTIVE,
    processing_pb2.PRIORITY_BULK: Lane.BULK,
}
_ENCODINGS: Final[Mapping[int, OffsetEncoding]] = {
    text_pb2.OFFSET_ENCODING_UTF8_BYTES: OffsetEncoding.UTF8,
    text_pb2.OFFSET_ENCODING_UTF16_UNITS: OffsetEncoding.UTF16,
    text_pb2.OFFSET_ENCODING_CODE_POINTS: OffsetEncoding.CODE_POINT,
}
_SCHEMES: Final[Mapping[int, bool]] = {
    entity_pb2.LABEL_SCHEME_UNSPECIFIED: False,
    entity_pb2.LABEL_SCHEME_MODEL: False,
    entity_pb2.LABEL_SCHEME_COMMON: True,
}
_ELEMENTS: Final[Mapping[int, embedding_pb2.ElementType.ValueType]] = {
    embedding_pb2.ELEMENT_TYPE_UNSPECIFIED: embedding_pb2.ELEMENT_TYPE_FLOAT32,
    embedding_pb2.ELEMENT_TYPE_FLOAT32: embedding_pb2.ELEMENT_TYPE_FLOAT32,
    embedding_pb2.ELEMENT_TYPE_FLOAT16: embedding_pb2.ELEMENT_TYPE_FLOAT16,
    embedding_pb2.ELEMENT_TYPE_FLOAT_LIST: embedding_pb2.ELEMENT_TYPE_FLOAT_LIST,
}


class HasId(Protocol):
    """A text or a pair."""

    @property
    def id(self) -> str:
        """The caller's own name for it."""


def check_count(count: int, what: str, most: int = MAX_TEXTS) -> None:
    """Raises ArgumentInvalid for none, TooManyTexts for more than `most`."""
    if count == 0:
        raise ArgumentInvalid(
            f"the request has no {what}", "send at least one", violations=[Violation(what, "is empty")]
        )
    if count > most:
        raise TooManyTexts(
            f"the request has {count} {what}, and at most {most} may be sent at once",
            violations=[Violation(what, f"holds {count}; at most {most}")],
        )


def check_ids(items: Sequence[HasId], path: str) -> None:
    """Raises ArgumentInvalid that names every id that is too long."""
    violations = [
        Violation(f"{path}[{index}].id", f"is longer than {MAX_ID_BYTES} bytes")
        for index, item in enumerate(items)
        if len(item.id) * 4 > MAX_ID_BYTES and len(item.id.encode()) > MAX_ID_BYTES
    ]
    if violations:
        raise ArgumentInvalid(
            f"{violations[0].field} is longer than {MAX_ID_BYTES} bytes",
            "use shorter ids",
            violations=violations,
        )


def check_texts(texts: Sequence[HasId]) -> None:
    """Raises ArgumentInvalid or TooManyTexts. Empty texts pass: they are those texts' own errors."""
    check_count(len(texts), "texts")
    check_ids(texts, "texts")


def long_text(policy: int) -> LongText:
    """Unspecified: CUT. Raises ArgumentInvalid."""
    return _known(_LONG_TEXT, policy, "long_text_policy")


def lane(priority: int, default: Lane) -> Lane:
    """Raises ArgumentInvalid."""
    if priority == processing_pb2.PRIORITY_UNSPECIFIED:
        return default
    return _known(_LANES, priority, "priority")


def offset_encoding(encoding: int) -> OffsetEncoding:
    """Raises EncodingMissing where none is named, ArgumentInvalid for one that there is not."""
    if encoding == text_pb2.OFFSET_ENCODING_UNSPECIFIED:
        raise EncodingMissing(
            "offset_encoding is not set, and without it positions would be guesswork",
            "set it to OFFSET_ENCODING_CODE_POINTS (Python, R), OFFSET_ENCODING_UTF16_UNITS (JavaScript, Java, C#) or "
            "OFFSET_ENCODING_UTF8_BYTES (Go, Rust, C)",
            violations=[Violation("offset_encoding", "is required")],
        )
    return _known(_ENCODINGS, encoding, "offset_encoding")


def common_labels(scheme: int) -> bool:
    """Whether labels are wanted by their common names. Raises ArgumentInvalid."""
    return _known(_SCHEMES, scheme, "label_scheme")


def element_type(wanted: int) -> embedding_pb2.ElementType.ValueType:
    """Never unspecified. Raises ArgumentInvalid."""
    return _known(_ELEMENTS, wanted, "options.element_type")


def _known(table: Mapping[int, _Value], number: int, field: str) -> _Value:
    if number not in table:
        raise ArgumentInvalid(
            f"{field} has no value {number}",
            "use a value of the enum in the worker's proto",
            violations=[Violation(field, f"has no value {number}")],
        )
    return table[number]


OTHER: Final = "OTHER"
COMMON: Final[Mapping[str, str]] = {
    "PER": "PERSON",
    "PERS": "PERSON",
    "PERSON": "PERSON",
    "LOC": "LOCATION",
    "LOCATION": "LOCATION",
    "GPE": "LOCATION",
    "FAC": "LOCATION",
    "ORG": "ORGANIZATION",
    "ORGANIZATION": "ORGANIZATION",
    "DATE": "DATE",
    "TIME": "TIME",
    "MONEY": "MONEY",
    "QUANTITY": "QUANTITY",
    "CARDINAL": "QUANTITY",
    "PERCENT": "QUANTITY",
}


def common_label(label: str) -> str:
    """The common name of a model's label; OTHER for one without."""
    return COMMON.get(label.upper(), OTHER)


def check_labels(wanted: Sequence[str], known: Sequence[str], *, common: bool) -> frozenset[str]:
    """The labels to keep; empty for all.

    wanted: as the request names them. known: the model's own. common: whether `wanted` are common names.
    Raises ArgumentInvalid for a label that the model never gives.
    """
    allowed = sorted({common_label(label) for label in known}) if common else sorted(known)
    strangers = [(index, label) for index, label in enumerate(wanted) if label not in allowed]
    if strangers:
        raise ArgumentInvalid(
            f'the model never gives the label "{strangers[0][1][:50]}"',
            f"name some of: {', '.join(allowed)}",
            violations=[
                Violation(f"labels[{index}]", "is not a label of this model") for index, _ in strangers
            ],
        )
    return frozenset(wanted)
