"""Close pairs are those of the plain matrix of cosines, in the promised order, whatever the size of the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qda_worker.models.similarity import CELLS, Matrix, distinct, find_pairs, normalised, pair_scores

# Few different values: many equal vectors and ties, which is where orders go wrong.
VALUES = st.sampled_from([-1.0, 0.0, 0.5, 2.0])
VECTORS = hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.just(3)), elements=VALUES)
Triple = tuple[int, int, float]


def cosines(left: Matrix, right: Matrix) -> Matrix:
    lengths = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)[None, :]
    dots = left.astype(np.float64) @ right.astype(np.float64).T
    exact = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
    rounded: Matrix = np.round(exact, 6).astype(np.float32)
    return rounded


def expected(left: Matrix, right: Matrix | None, threshold: float | None, best: int | None) -> list[Triple]:
    scores = cosines(left, left if right is None else right)
    found: list[Triple] = []
    for first in range(len(scores)):
        start = first + 1 if right is None and best is None else 0
        row = [(first, second, float(scores[first, second])) for second in range(start, scores.shape[1])]
        row = [pair for pair in row if right is not None or pair[1] != first]
        row = [pair for pair in row if threshold is None or pair[2] >= threshold]
        found += sorted(row, key=lambda pair: (-pair[2], pair[1]))[:best]
    return found


def found_pairs(
    left: Matrix, right: Matrix | None, threshold: float | None, best: int | None, cells: int = CELLS
) -> list[Triple]:
    return [
        (int(first), int(second), float(score))
        for pairs in find_pairs(left, right, threshold=threshold, best=best, cells=cells)
        for first, second, score in zip(pairs.first, pairs.second, pairs.scores, strict=True)
    ]


@pytest.mark.parametrize("cells", [1, 7, 2**22])
@given(
    left=VECTORS,
    right=st.none() | VECTORS,
    threshold=st.none() | st.sampled_from([-1.0, 0.0, 0.5, 0.9, 1.0]),
    best=st.none() | st.integers(1, 4),
)
def test_pairs_equal_brute_force(
    cells: int, left: Matrix, right: Matrix | None, threshold: float | None, best: int | None
) -> None:
    if threshold is None and best is None:
        return
    found = found_pairs(left, right, threshold, best, cells)
    wanted = expected(left, right, threshold, best)
    assert [pair[:2] for pair in found] == [pair[:2] for pair in wanted]
    assert [pair[2] for pair in found] == pytest.approx([pair[2] for pair in wanted], abs=2e-6)


def test_equal_texts_tie_and_the_earlier_comes_first() -> None:
    """Of 5,000 equal vectors a matrix product gives scores that differ in the last bit."""
    row = np.random.default_rng(7).normal(size=(1, 96)).astype(np.float32)
    found = found_pairs(row, np.repeat(row, 5000, axis=0), None, 3)
    assert found == [(0, 0, 1.0), (0, 1, 1.0), (0, 2, 1.0)]


def test_memory_is_one_block_of_rows_at_a_time() -> None:
    vectors = np.random.default_rng(1).normal(size=(100, 8)).astype(np.float32)
    blocks = list(find_pairs(vectors, None, threshold=-1.0, best=None, cells=1000))
    assert len(blocks) == 10
    assert sum(len(block.scores) for block in blocks) == 100 * 99 / 2


@pytest.mark.parametrize(("threshold", "best"), [(None, None), (0.5, 0), (None, -1)])
def test_a_search_without_an_end_is_refused_at_the_call(threshold: float | None, best: int | None) -> None:
    with pytest.raises(ValueError, match=r"all pairs|cannot find"):
        find_pairs(np.ones((2, 2), np.float32), None, threshold=threshold, best=best)


@given(VECTORS)
def test_pair_scores_are_the_diagonal_of_the_cosines(vectors: Matrix) -> None:
    other = vectors[::-1].copy()
    np.testing.assert_allclose(pair_scores(vectors, other), np.diagonal(cosines(vectors, other)), atol=2e-6)


def test_scores_never_leave_the_range_of_a_cosine() -> None:
    vectors = np.random.default_rng(3).normal(size=(500, 7)).astype(np.float32) * 1000
    assert pair_scores(vectors, vectors).max() <= 1.0
    assert pair_scores(vectors, -vectors).min() >= -1.0


def test_a_vector_of_zeros_is_like_nothing() -> None:
    zeros, ones = np.zeros((1, 4), np.float32), np.ones((1, 4), np.float32)
    assert pair_scores(zeros, ones) == pair_scores(zeros, zeros) == [0.0]
    assert np.isfinite(normalised(zeros)).all()


@given(st.lists(st.sampled_from(["a", "b", "ä", "a\u0308", ""])))
def test_each_distinct_text_is_there_once(texts: list[str]) -> None:
    unique, index = distinct(texts)
    assert [unique[number] for number in index] == texts
    assert len(unique) == len(set(texts))
