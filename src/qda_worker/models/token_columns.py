"""The tokens of a text as columns of numbers, which the spaCy process writes and the worker reads.

A table is int32 [columns, tokens], with one row for each `Column`. Labels, lemmas and the like are numbers of a table
of strings, in which 0 is the empty string. So no object exists for a token between spaCy and the response message.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum, IntFlag
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from qda_worker.models.spacy_components import SyntaxLayer


class Column(IntEnum):
    """A row of the table."""

    # First code point in the text that was read, and number of code points.
    START = 0
    LENGTH = 1
    # `Flag`s.
    FLAGS = 2
    # Index of the head less the index of the token.
    HEAD = 3
    # Numbers of strings.
    LEMMA = 4
    POS = 5
    TAG = 6
    MORPH = 7
    LABEL = 8
    ENTITY = 9


class Flag(IntFlag):
    """Properties of a token that are true or false."""

    SPACE_AFTER = 1
    SENTENCE_START = 2
    ENTITY_BEGIN = 4
    ENTITY_INSIDE = 8


STRING_COLUMNS: Final = (
    Column.LEMMA,
    Column.POS,
    Column.TAG,
    Column.MORPH,
    Column.LABEL,
    Column.ENTITY,
)

Table = NDArray[np.int32]

# spaCy's attribute of each column of strings, by layer.
_ATTRIBUTES: Final[Mapping[str, tuple[Column, str]]] = {
    SyntaxLayer.LEMMA: (Column.LEMMA, "LEMMA"),
    SyntaxLayer.UNIVERSAL_PART_OF_SPEECH: (Column.POS, "POS"),
    SyntaxLayer.FINE_PART_OF_SPEECH: (Column.TAG, "TAG"),
    SyntaxLayer.MORPHOLOGY: (Column.MORPH, "MORPH"),
    SyntaxLayer.DEPENDENCY: (Column.LABEL, "DEP"),
    SyntaxLayer.ENTITIES: (Column.ENTITY, "ENT_TYPE"),
}
# How spaCy writes that a token has no features.
_NO_FEATURES: Final = "_"
# spaCy's codes of ENT_IOB.
_INSIDE: Final = 1
_BEGIN: Final = 3


def read_tables(docs: Sequence[Any], wanted: Sequence[Sequence[str]]) -> tuple[list[Table], list[str]]:
    """Return the tokens of documents of one pipeline as tables that share their strings.

    Args:
        docs: documents of spaCy.
        wanted: the layers of each document; columns of others are 0.

    Returns:
        int32 [columns, tokens] of each document, and the strings.
    """
    names = ["LENGTH", "SPACY", "SENT_START", "ENT_IOB", "HEAD", *(name for _, name in _ATTRIBUTES.values())]
    raw = [doc.to_array(names).reshape(len(doc), len(names)).T for doc in docs]
    numbers = np.concatenate(raw, axis=1) if raw else np.zeros((len(names), 0), np.uint64)
    joined = np.zeros((len(Column), numbers.shape[1]), np.int32)
    joined[Column.LENGTH] = numbers[0]
    spaced = numbers[1] != 0
    joined[Column.FLAGS] = spaced * int(Flag.SPACE_AFTER)
    ends = np.cumsum([len(doc) for doc in docs], dtype=np.int64)
    spans = list(zip([0, *ends[:-1]], ends, strict=True)) if docs else []
    asked = np.zeros((len(_ATTRIBUTES), numbers.shape[1]), bool)
    for (start, end), of_doc in zip(spans, wanted, strict=True):
        lengths = joined[Column.LENGTH, start:end] + spaced[start:end]
        joined[Column.START, start:end] = np.cumsum(lengths) - lengths
        for number, layer in enumerate(_ATTRIBUTES):
            asked[number, start:end] = layer in of_doc
        begins = numbers[2, start:end] == 1
        if (
            begins.any() or SyntaxLayer.SENTENCES in of_doc
        ):  # also for entities alone, whose component reads them
            begins[:1] = True
            joined[Column.FLAGS, start:end] |= begins.astype(np.int32) * int(Flag.SENTENCE_START)
        if SyntaxLayer.DEPENDENCY in of_doc:
            joined[Column.HEAD, start:end] = numbers[4, start:end].view(np.int64)
        if SyntaxLayer.ENTITIES in of_doc:
            iob = numbers[3, start:end]
            joined[Column.FLAGS, start:end] |= (iob == _BEGIN).astype(np.int32) * int(Flag.ENTITY_BEGIN)
            joined[Column.FLAGS, start:end] |= (iob == _INSIDE).astype(np.int32) * int(Flag.ENTITY_INSIDE)
    keys = np.where(asked, numbers[5:], np.uint64(0))
    strings = docs[0].vocab.strings if docs else {_NO_FEATURES: 0}
    features = keys[list(_ATTRIBUTES).index(SyntaxLayer.MORPHOLOGY)]
    features[features == strings[_NO_FEATURES]] = 0
    unique, places = np.unique(keys, return_inverse=True)
    found = ["" if not key else str(strings[key]) for key in unique.tolist()]
    if not found or found[0]:  # 0 is the empty string in every table
        found, places = ["", *found], places + 1
    joined[[column for column, _ in _ATTRIBUTES.values()]] = places.reshape(keys.shape)
    return [joined[:, start:end] for start, end in spans], found
