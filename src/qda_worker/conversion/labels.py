"""Entity labels by names that are the same for every model.

The models' own labels come from the corpora they were trained on: WikiNER and CoNLL (PER, LOC, ORG, MISC), OntoNotes
(PERSON, GPE, CARDINAL and so on).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from qda_worker.errors import ArgumentInvalid, Violation

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
