"""The map: points of a plane keep their arrangement, and nothing is random."""

import math

import pytest

from qda_worker.client.report.projection import project


def test_the_axes_are_those_of_the_largest_variance() -> None:
    """A long and a short axis of a rotated grid in four dimensions are found again."""
    long, short = [0.5, 0.5, 0.5, 0.5], [0.5, -0.5, 0.5, -0.5]
    vectors = [
        [a * x + b * y for x, y in zip(long, short, strict=True)] for a in range(-9, 10) for b in (-1, 0, 1)
    ]
    points = project(vectors)
    across = sorted({round(x, 6) for x, _ in points})
    assert across == pytest.approx([each / 9 for each in range(-9, 10)], abs=1e-5)
    assert sorted({round(y, 6) for _, y in points}) == pytest.approx([-1, 0, 1], abs=1e-5)


@pytest.mark.parametrize("vectors", [[], [[0.0, 0.0]], [[1.0, 2.0]] * 5])
def test_vectors_without_variance_are_in_the_middle(vectors: list[list[float]]) -> None:
    assert project(vectors) == [(0.0, 0.0)] * len(vectors)


def test_equal_vectors_give_an_equal_map() -> None:
    vectors = [[math.sin(each * place) for place in range(1, 9)] for each in range(500)]
    assert project(vectors) == project(vectors)
    assert all(abs(value) <= 1 for point in project(vectors) for value in point)
