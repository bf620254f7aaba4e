"""Scores are cosines for any vectors, and equal texts are grouped."""

from typing import Final

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qda_worker.models.pair_search import Matrix, normalize_rows, pair_scores, unique_texts

VALUES: Final = st.sampled_from([-1.0, 0.0, 0.5, 2.0])
VECTORS: Final = hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.just(3)), elements=VALUES)


def cosines(left: Matrix, right: Matrix) -> Matrix:
    lengths = np.linalg.norm(left, axis=1)[:, None] * np.linalg.norm(right, axis=1)[None, :]
    dots = left.astype(np.float64) @ right.astype(np.float64).T
    exact = np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
    rounded: Matrix = np.round(exact, 6).astype(np.float32)
    return rounded


@given(VECTORS)
def test_pair_scores_are_the_diagonal_of_the_cosines(vectors: Matrix) -> None:
    other = vectors[::-1].copy()
    np.testing.assert_allclose(pair_scores(vectors, other), np.diagonal(cosines(vectors, other)), atol=2e-6)


def test_scores_never_leave_the_range_of_a_cosine() -> None:
    vectors = np.random.default_rng(3).normal(size=(500, 7)).astype(np.float32) * 1000
    assert pair_scores(vectors, vectors).max() <= 1.0
    assert pair_scores(vectors, -vectors).min() >= -1.0


def test_a_vector_of_zeros_has_cosine_zero() -> None:
    zeros, ones = np.zeros((1, 4), np.float32), np.ones((1, 4), np.float32)
    assert pair_scores(zeros, ones) == pair_scores(zeros, zeros) == [0.0]
    assert np.isfinite(normalize_rows(zeros)).all()


@given(st.lists(st.sampled_from(["a", "b", "ä", "a\u0308", ""])))
def test_each_distinct_text_is_returned_once(texts: list[str]) -> None:
    unique, index = unique_texts(texts)
    assert [unique[number] for number in index] == texts
    assert len(unique) == len(set(texts))
