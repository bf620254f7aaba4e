"""Place vectors on a plane by principal component analysis.

The components are found by power iteration on a sample, because plain Python takes a second for a product of
5,000 vectors with 768 dimensions. The sample and the start are fixed, so equal vectors give an equal map.
"""

from collections.abc import Sequence
from math import sqrt
from operator import mul
from typing import Final

# Vectors that the components are found with, and iterations for each of the two.
_SAMPLE: Final = 200
_ITERATIONS: Final = 20


def project(vectors: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Return a point for each vector, with both coordinates from -1 to 1. The vectors have equal lengths."""
    if not vectors:
        return []
    step = max(1, len(vectors) // _SAMPLE)
    sample = vectors[::step][:_SAMPLE]
    mean = [sum(column) / len(sample) for column in zip(*sample, strict=True)]
    centred = [[value - middle for value, middle in zip(vector, mean, strict=True)] for vector in sample]
    axes: list[list[float]] = []
    for _ in range(2):
        axes.append(_component(centred, axes))
    columns = [[_dot(vector, axis) - _dot(mean, axis) for vector in vectors] for axis in axes]
    return list(zip(*map(_scaled, columns), strict=True))


def _component(vectors: Sequence[Sequence[float]], former: Sequence[Sequence[float]]) -> list[float]:
    """Return the direction of the largest variance that is orthogonal to the former ones; zeros if there is none."""
    size = len(vectors[0])
    axis = _orthogonal([1.0 / (1 + place % 7) for place in range(size)], former)
    for _ in range(_ITERATIONS):
        weights = [_dot(vector, axis) for vector in vectors]
        moved = [0.0] * size
        for weight, vector in zip(weights, vectors, strict=True):
            if weight:
                moved = [total + weight * value for total, value in zip(moved, vector, strict=True)]
        axis = _orthogonal(moved, former)
    largest = max(axis, key=abs, default=0.0)
    return [-value for value in axis] if largest < 0 else axis  # the sign is arbitrary, but must not vary


def _orthogonal(vector: list[float], former: Sequence[Sequence[float]]) -> list[float]:
    for axis in former:
        part = _dot(vector, axis)
        vector = [value - part * other for value, other in zip(vector, axis, strict=True)]
    length = sqrt(_dot(vector, vector))
    return [value / length for value in vector] if length > 1e-12 else [0.0] * len(vector)


def _dot(first: Sequence[float], second: Sequence[float]) -> float:
    return float(sum(map(mul, first, second)))


def _scaled(values: Sequence[float]) -> list[float]:
    largest = max(map(abs, values), default=0.0)
    return [value / largest if largest else 0.0 for value in values]
