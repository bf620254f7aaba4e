"""Entity labels: the common scheme, and the check against the labels of the model."""

from typing import Final

import pytest

from qda.v1 import entity_pb2
from qda_worker.conversion.entities import check_labels, common_label, parse_labels
from qda_worker.errors import ArgumentInvalid

MODEL_LABELS: Final = ("LOC", "MISC", "ORG", "PER")


@pytest.mark.parametrize(
    ("label", "common"),
    [("PER", "PERSON"), ("LOC", "LOCATION"), ("GPE", "LOCATION"), ("ORG", "ORGANIZATION"), ("MISC", "OTHER")],
)
def test_labels_of_any_model_have_a_common_name(label: str, common: str) -> None:
    assert common_label(label) == common


def test_labels_are_checked_in_the_scheme_of_the_request() -> None:
    common = parse_labels(["PERSON", "OTHER"], entity_pb2.LABEL_SCHEME_COMMON)
    check_labels(common, MODEL_LABELS)
    assert common.name_set == {"PERSON", "OTHER"}
    own = parse_labels(["LOC", "PERSON"], entity_pb2.LABEL_SCHEME_MODEL)
    with pytest.raises(ArgumentInvalid) as caught:
        check_labels(own, MODEL_LABELS)
    assert [violation.field for violation in caught.value.violations] == ["labels[1]"]
