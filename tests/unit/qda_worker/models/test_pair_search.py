"""The search finds the pairs of the full matrix of cosines, in order, for any size of blocks."""

from typing import Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qda_worker.models.pair_search import MAX_PAIRS, TILE_CELLS, Matrix, TextRows, find_pairs, normalize_rows

# Few different values give many equal vectors and ties, where the order may go wrong.
VALUES: Final = st.sampled_from([-1.0, 0.0, 0.5, 2.0])
VECTORS: Final = hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.just(3)), elements=VALUES)
NUMBERS: Final = st.lists(st.integers(0, 11), min_size=1, max_size=20)
THRESHOLDS: Final = st.none() | st.sampled_from([-1.0, 0.0, 0.5, 0.9, 1.0])
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
    left: TextRows,
    right: TextRows | None,
    threshold: float | None,
    best: int | None,
    cells: int = TILE_CELLS,
    most: int = MAX_PAIRS,
) -> list[Triple]:
    return [
        (int(first), int(second), float(score))
        for pairs in find_pairs(
            left, right, threshold=threshold, top_k=best, tile_cells=cells, max_pairs=most
        )
        for first, second, score in zip(pairs.first, pairs.second, pairs.scores, strict=True)
    ]


def assert_same(found: list[Triple], reference: list[Triple], scores: Matrix) -> None:
    """Check that pairs are equal, except where single precision may round two close scores either way."""
    assert [pair[0] for pair in found] == [pair[0] for pair in reference]
    assert [pair[2] for pair in found] == pytest.approx([pair[2] for pair in reference], abs=2e-6)
    assert [pair[2] for pair in found] == pytest.approx([scores[pair[:2]] for pair in found], abs=2e-6)
    assert len({pair[:2] for pair in found}) == len(found)
    assert found == sorted(found, key=lambda pair: (pair[0], -pair[2], pair[1]))


@pytest.mark.parametrize(("cells", "most"), [(1, 1), (7, 3), (TILE_CELLS, MAX_PAIRS)])
@given(left=VECTORS, right=st.none() | VECTORS, threshold=THRESHOLDS, best=st.none() | st.integers(1, 4))
def test_pairs_equal_brute_force(
    cells: int, most: int, left: Matrix, right: Matrix | None, threshold: float | None, best: int | None
) -> None:
    if threshold is None and best is None:
        return
    others = None if right is None else TextRows.from_vectors(right)
    found = found_pairs(TextRows.from_vectors(left), others, threshold, best, cells, most)
    reference = expected(left, right, threshold, best)
    assert_same(found, reference, cosines(left, left if right is None else right))


@pytest.mark.parametrize(("cells", "most"), [(5, 2), (TILE_CELLS, MAX_PAIRS)])
@given(
    vectors=VECTORS,
    first=NUMBERS,
    second=st.none() | NUMBERS,
    threshold=THRESHOLDS,
    best=st.none() | st.integers(1, 4),
)
def test_a_text_that_occurs_several_times_is_several_partners(
    cells: int,
    most: int,
    vectors: Matrix,
    first: list[int],
    second: list[int] | None,
    threshold: float | None,
    best: int | None,
) -> None:
    if threshold is None and best is None:
        return
    unit = normalize_rows(vectors)
    left = TextRows(unit, np.array(first) % len(unit))
    right = None if second is None else TextRows(unit, np.array(second) % len(unit))
    found = found_pairs(left, right, threshold, best, cells, most)
    others = None if right is None else unit[right.numbers]
    reference = expected(unit[left.numbers], others, threshold, best)
    assert_same(
        found, reference, cosines(unit[left.numbers], unit[left.numbers] if others is None else others)
    )


def test_equal_texts_tie_exactly_and_the_earlier_comes_first() -> None:
    """With a row for each they would not: the last bits of a matrix product differ from place to place."""
    draw = np.random.default_rng(7)
    unit = normalize_rows(draw.normal(size=(3, 96)).astype(np.float32))
    texts = TextRows(unit, np.concatenate([[0, 1], np.full(300, 2)]))
    found = found_pairs(texts, None, None, 3, cells=1000)
    assert found[0][:2] in ((0, 1), (0, 2))
    assert [pair[:2] for pair in found if pair[0] == 200] == [(200, 2), (200, 3), (200, 4)]
    scores = {pair[2] for pair in found_pairs(texts, None, -1.0, None, cells=1000) if pair[:1] == (1,)}
    assert len(scores) == 1


def test_memory_is_bounded_by_tiles_and_by_pairs() -> None:
    vectors = TextRows.from_vectors(np.random.default_rng(1).normal(size=(300, 8)).astype(np.float32))
    blocks = list(find_pairs(vectors, None, threshold=-1.0, top_k=None, max_pairs=1000))
    assert sum(len(block.scores) for block in blocks) == 300 * 299 / 2
    assert max(len(block.scores) for block in blocks) <= 1000
    assert sum(len(block.scores) > 0 for block in blocks) < 200


@pytest.mark.parametrize(("threshold", "best"), [(None, None), (0.5, 0), (None, -1)])
def test_a_search_without_a_limit_is_refused_at_the_call(threshold: float | None, best: int | None) -> None:
    with pytest.raises(ValueError, match=r"all pairs|top_k must be"):
        find_pairs(TextRows.from_vectors(np.ones((2, 2), np.float32)), None, threshold=threshold, top_k=best)


def test_an_empty_set_has_no_pairs() -> None:
    nothing = TextRows(np.empty((0, 1), np.float32), np.empty(0, np.int64))
    some = TextRows.from_vectors(np.ones((2, 1), np.float32))
    assert found_pairs(nothing, None, 0.5, None) == found_pairs(some, nothing, None, 3) == []


@pytest.mark.parametrize(("threshold", "best"), [(0.5, None), (None, 2)])
def test_each_step_computes_one_tile(threshold: float | None, best: int | None) -> None:
    """So that others have their turn between two steps; the pairs of a block come with its last one."""
    draw = np.random.default_rng(1)
    left, right = (draw.normal(size=(count, 3)).astype(np.float32) for count in (3, 1000))
    sets = TextRows.from_vectors(left), TextRows.from_vectors(right)
    steps = [
        len(pairs.scores) for pairs in find_pairs(*sets, threshold=threshold, top_k=best, tile_cells=100)
    ]
    assert len(steps) == 3 * (10 + 1), "ten tiles of a hundred scores for each text, and its pairs"
    assert all((count > 0) == (number % 11 == 10) for number, count in enumerate(steps))
    assert sum(steps) == len(expected(left, right, threshold, best))
