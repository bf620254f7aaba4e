"""Each set sees the vectors of its own texts, although each distinct text is encoded once."""

from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qda_worker.encoded_sets import DistinctTexts, EncodedSets
from qda_worker.errors import TextEmpty
from qda_worker.models.base import Usage
from qda_worker.models.vectors import TextVectors
from qda_worker.scheduling.jobs import Failure, Success, Timings

WORDS: Final = st.sampled_from(["", "a", "b", "c", "d"])


@given(st.lists(WORDS, min_size=1, max_size=12), st.lists(WORDS, max_size=12))
def test_sets_see_the_vectors_of_their_own_texts(first: list[str], second: list[str]) -> None:
    sets = DistinctTexts.of((first, second))
    assert sets.contents == list(dict.fromkeys([*first, *second]))
    outcomes = [
        Success(
            TextVectors(np.array([ord(text), 1.0], np.float32)),
            Usage(1, 1, text == "a", 1 + (text == "b")),
            Timings(compute=1.0),
        )
        if text
        else Failure(TextEmpty("empty"), Timings())
        for text in sets.contents
    ]
    encoded = EncodedSets(sets)
    for start in range(0, len(outcomes), 3):
        encoded.add(outcomes[start : start + 3])
    assert encoded.encoded_count == sum(map(bool, sets.contents))
    assert encoded.timings.compute == encoded.encoded_count
    assert encoded.cut_count == [*first, *second].count("a")
    assert encoded.windowed_count == [*first, *second].count("b")
    for set_index, contents in enumerate((first, second)):
        with_vector = [position for position, text in enumerate(contents) if text]
        assert encoded.positions(set_index).tolist() == with_vector
        rows = encoded.rows(set_index)
        angles = [row[0] / row[1] for row in rows.rows(0, len(rows))]
        assert angles == pytest.approx([ord(contents[position]) for position in with_vector], rel=1e-5)
        assert [position for position, _ in encoded.failures(set_index)] == [
            position for position, text in enumerate(contents) if not text
        ]
