"""RecognizeEntities: the request as a value, the check of its labels, and the entities as messages.

Models name their labels after the corpora they were trained on: WikiNER and CoNLL (PER, LOC, ORG, MISC), OntoNotes
(PERSON, GPE, CARDINAL and so on). LABEL_SCHEME_COMMON maps them to names that are the same for every model.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from qda.v1 import entity_pb2 as pb
from qda.v1 import text_pb2
from qda_worker.conversion.metadata import build_provenance, build_timings
from qda_worker.conversion.request_fields import (
    TextBatch,
    parse_enum,
    parse_long_text_policy,
    parse_offset_encoding,
    parse_priority,
    parse_texts,
)
from qda_worker.conversion.results import fill_results
from qda_worker.errors import ArgumentInvalid, Violation
from qda_worker.models.base import Options
from qda_worker.models.offsets import OffsetEncoding, convert_spans
from qda_worker.registry.registry import SelectedModel
from qda_worker.scheduling.jobs import Lane, Outcome

if TYPE_CHECKING:
    from qda_worker.models.entity_windows import Entity

OTHER_LABEL: Final = "OTHER"
COMMON_LABELS: Final[Mapping[str, str]] = {
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
# Whether a scheme names labels by their common names.
_LABEL_SCHEMES: Final[Mapping[int, bool]] = {
    pb.LABEL_SCHEME_UNSPECIFIED: False,
    pb.LABEL_SCHEME_MODEL: False,
    pb.LABEL_SCHEME_COMMON: True,
}

_MAX_QUOTED_LABEL: Final = 50  # characters of an unknown label that an error message shows


@dataclass(frozen=True, slots=True)
class LabelSelection:
    """The labels that a request asks for.

    Attributes:
        names: as the request lists them, in its order; empty for all labels.
        use_common_names: whether labels are common names, in `names` and in the response.
        name_set: the same names, for fast look-up.
    """

    names: tuple[str, ...]
    use_common_names: bool
    name_set: frozenset[str]


@dataclass(frozen=True, slots=True)
class EntityRequest:
    """A parsed RecognizeEntitiesRequest.

    Attributes:
        texts: the texts to search.
        model: the key of the model; empty for the default.
        options: for the model.
        lane: the lane of the queue; None: by the size of the call.
        labels: the labels to return.
        span_encoding: the unit of the entities' spans.
        offset_encoding: the field as sent, which the response repeats.
    """

    texts: TextBatch
    model: str
    options: Options
    lane: Lane | None
    labels: LabelSelection
    span_encoding: OffsetEncoding
    offset_encoding: text_pb2.OffsetEncoding.ValueType


def parse_recognize_entities(request: pb.RecognizeEntitiesRequest) -> EntityRequest:
    """Parse a RecognizeEntitiesRequest.

    Raises:
        InvalidRequest: when a field is missing or out of range.
    """
    return EntityRequest(
        texts=parse_texts(request.texts),
        model=request.model,
        span_encoding=parse_offset_encoding(request.offset_encoding),
        options=Options(parse_long_text_policy(request.long_text_policy)),
        lane=parse_priority(request.priority, None),
        labels=parse_labels(request.labels, request.label_scheme),
        offset_encoding=request.offset_encoding,
    )


def parse_labels(names: Sequence[str], scheme: int) -> LabelSelection:
    """Parse labels and label scheme. Which labels exist depends on the model: see `check_labels`.

    Raises:
        ArgumentInvalid: when the scheme is not a value of the enum.
    """
    use_common_names = parse_enum(_LABEL_SCHEMES, scheme, "label_scheme")
    return LabelSelection(tuple(names), use_common_names, frozenset(names))


def check_labels(selection: LabelSelection, model_labels: Sequence[str]) -> None:
    """Check that the model has the selected labels.

    Args:
        selection: the labels of the request.
        model_labels: all labels of the model, by its own names.

    Raises:
        ArgumentInvalid: when the model never returns one of them.
    """
    allowed = (
        {common_label(label) for label in model_labels} if selection.use_common_names else set(model_labels)
    )
    unknown = [(index, name) for index, name in enumerate(selection.names) if name not in allowed]
    if unknown:
        raise ArgumentInvalid(
            f'the model has no label "{unknown[0][1][:_MAX_QUOTED_LABEL]}"',
            f"use labels from this list: {', '.join(sorted(allowed))}",
            violations=[
                Violation(f"labels[{index}]", "is not a label of this model") for index, _ in unknown
            ],
        )


def common_label(label: str) -> str:
    """Return the common name of a model's label; OTHER for a label without one."""
    return COMMON_LABELS.get(label.upper(), OTHER_LABEL)


def build_recognize_entities(
    request: EntityRequest, outcomes: Sequence[Outcome[Any]], selected: SelectedModel, started: float
) -> pb.RecognizeEntitiesResponse:
    """Build the response from the outcome of each text; `started` as in `build_timings`."""
    response = pb.RecognizeEntitiesResponse(
        provenance=build_provenance(selected, request.options), offset_encoding=request.offset_encoding
    )
    info = selected.engine.info
    fill_answer = partial(fill_entities, labels=request.labels, span_encoding=request.span_encoding)
    fill_results(response.results.add, request.texts, outcomes, info, fill_answer)
    response.timings.CopyFrom(build_timings((outcome.timings for outcome in outcomes), started))
    return response


def fill_entities(
    result: pb.EntityResult,
    content: str,
    answer: "Sequence[Entity]",
    *,
    labels: LabelSelection,
    span_encoding: OffsetEncoding,
) -> None:
    """Fill the entities whose labels are selected, with spans in `span_encoding`."""
    name_of = common_label if labels.use_common_names else str
    matches = [
        (entity, label)
        for entity, label in ((entity, name_of(entity.label)) for entity in answer)
        if not labels.name_set or label in labels.name_set
    ]
    spans = convert_spans(content, [(entity.start, entity.end) for entity, _ in matches], span_encoding)
    for (entity, label), (start, end) in zip(matches, spans, strict=True):
        result.entities.add(
            text=entity.text,
            label=label,
            model_label=entity.label,
            span=text_pb2.Span(start=start, end=end),
        )
