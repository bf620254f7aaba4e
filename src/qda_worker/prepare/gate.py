"""The accuracy gate: the answers of a variant beside those of fp32, on texts that it was not calibrated with.

Every figure is a similarity to fp32, at most 1, and passes at its threshold or above. Which figures there are follows
from what the model answers:

| figure | what |
| --- | --- |
| label_agreement | share of texts with the same sentiment |
| mean_, lowest_probability_agreement | 1 minus the greatest difference of a text's probabilities; mean and worst text |
| dense_cosine_mean, dense_cosine_p1 | cosine of a text's dense vector to that of fp32; mean and 1st percentile |
| pair_rank_correlation | Spearman's rank correlation of the cosines of all pairs of texts |
| pair_score_agreement_p1 | 1 minus the 99th percentile of the difference of a pair's cosine |
| sparse_overlap_mean | sum of the smaller weights of each token, divided by the sum of the greater ones |
| multi_vector_cosine_mean, multi_vector_cosine_p1 | cosine of a token's vector |

A number that is not finite fails. The cosine to fp32 alone would not do: the vectors of many models lie in a narrow
cone, in which a destroyed model's vectors are close to all others. Their order in pairs is random then.

The texts are computed in batches of similar lengths, as the worker computes them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model_cache.catalog.catalog import Precision
from model_cache.prepared_form import GateFigure
from qda_worker.errors import ModelFailed
from qda_worker.models.base import Options, TextModel, VectorKind
from qda_worker.models.pair_search import normalize_rows
from qda_worker.models.sentiment import SentimentAnswer
from qda_worker.models.vectors import SparseWeights, VectorOptions

# The reasons for these numbers are in docs/precision.md.
THRESHOLDS: Final[Mapping[Precision, Mapping[str, float]]] = MappingProxyType(
    {
        Precision.BF16: {
            "label_agreement": 0.99,
            "mean_probability_agreement": 0.99,
            "lowest_probability_agreement": 0.85,
            "dense_cosine_mean": 0.999,
            "dense_cosine_p1": 0.998,
            "pair_rank_correlation": 0.999,
            "pair_score_agreement_p1": 0.98,
            "sparse_overlap_mean": 0.97,
            "multi_vector_cosine_mean": 0.999,
            "multi_vector_cosine_p1": 0.99,
        },
        Precision.INT8: {
            "label_agreement": 0.98,
            "mean_probability_agreement": 0.98,
            "lowest_probability_agreement": 0.6,
            "dense_cosine_mean": 0.98,
            "dense_cosine_p1": 0.96,
            "pair_rank_correlation": 0.97,
            "pair_score_agreement_p1": 0.93,
            "sparse_overlap_mean": 0.9,
            "multi_vector_cosine_mean": 0.98,
            "multi_vector_cosine_p1": 0.9,
        },
    }
)
# Texts and padded tokens of one batch.
_BATCH_TEXTS: Final = 32
_BATCH_TOKENS: Final = 2048
# What is recorded for a number that is not finite.
_NOTHING: Final = -1.0

Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class GateAnswers:
    """The answers to all texts. Kinds that the model does not produce are empty.

    Attributes:
        probabilities: float32 [texts, sentiments].
        dense: float32 [texts, dimension], of any length.
        sparse: the weights of each text.
        multi: float32 [tokens, dimension] of each text.
    """

    probabilities: Rows | None = None
    dense: Rows | None = None
    sparse: tuple[SparseWeights, ...] = ()
    multi: tuple[Rows, ...] = ()


def compute_answers(model: TextModel[Any, Any, Any], texts: Sequence[str]) -> GateAnswers:
    """Compute all that a sentiment or embedding model answers to these texts."""
    kinds = frozenset(model.info.vector_kinds)
    answers = _compute(model, texts, VectorOptions(kinds=kinds) if kinds else Options())
    if not kinds:
        return GateAnswers(probabilities=np.array([_probabilities(answer) for answer in answers], np.float32))
    return GateAnswers(
        dense=np.stack([answer.dense for answer in answers]),
        sparse=tuple(answer.sparse for answer in answers) if VectorKind.SPARSE in kinds else (),
        multi=tuple(answer.multi for answer in answers) if VectorKind.MULTI_VECTOR in kinds else (),
    )


def judge(expected: GateAnswers, found: GateAnswers | None, precision: Precision) -> Mapping[str, GateFigure]:
    """Return the figures of a variant, each with its threshold and whether it passed.

    Args:
        expected: the answers of fp32.
        found: the answers of the variant; None: it computed numbers that are not finite.
        precision: of the variant.
    """
    thresholds = THRESHOLDS[precision]
    with np.errstate(all="ignore"):  # what is not finite fails below
        values = measure(expected, expected if found is None else found)
    figures = {}
    for name, value in values.items():
        number = value if found is not None and math.isfinite(value) else _NOTHING
        figures[name] = GateFigure(round(number, 6), thresholds[name], number >= thresholds[name])
    return figures


def measure(expected: GateAnswers, found: GateAnswers) -> dict[str, float]:
    """Return the value of every figure by its name."""
    values: dict[str, float] = {}
    if expected.probabilities is not None and found.probabilities is not None:
        values |= _compare_probabilities(expected.probabilities, found.probabilities)
    if expected.dense is not None and found.dense is not None:
        values |= _compare_dense(expected.dense, found.dense)
    if expected.sparse:
        overlaps = [_overlap(*both) for both in zip(expected.sparse, found.sparse, strict=True)]
        values["sparse_overlap_mean"] = float(np.mean(overlaps))
    if expected.multi:
        cosines = _cosines(np.concatenate(expected.multi), np.concatenate(found.multi))
        values["multi_vector_cosine_mean"] = float(cosines.mean())
        values["multi_vector_cosine_p1"] = float(np.quantile(cosines, 0.01))
    return values


def _compute(model: TextModel[Any, Any, Any], texts: Sequence[str], options: Options) -> list[Any]:
    """Return the answer to each text, in the order of the texts.

    Raises:
        ModelFailed: when the numbers of a text are not finite.
    """
    prepared = [model.prepare(text, options) for text in texts]
    answers: list[Any] = [None] * len(texts)
    for numbers in _batches([one.units[0].length for one in prepared]):
        outputs = model.compute([unit for number in numbers for unit in prepared[number].units])
        for number in numbers:
            count = len(prepared[number].units)
            own, outputs = outputs[:count], outputs[count:]
            answers[number] = model.finish(texts[number], prepared[number], own).answer
    return answers


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Return the numbers of the texts of each batch, by ascending length."""
    batches: list[list[int]] = []
    for number in sorted(range(len(lengths)), key=lengths.__getitem__):
        batch = batches[-1] if batches else []
        if not batch or len(batch) == _BATCH_TEXTS or (len(batch) + 1) * lengths[number] > _BATCH_TOKENS:
            batches.append([number])
        else:
            batch.append(number)
    return batches


def _probabilities(answer: SentimentAnswer) -> list[float]:
    values = [answer.probabilities[name] for name in sorted(answer.probabilities)]
    if not all(map(math.isfinite, values)):
        raise ModelFailed("the model's numbers for this text are not finite")
    return values


def _compare_probabilities(expected: Rows, found: Rows) -> dict[str, float]:
    differences = np.abs(expected - found).max(axis=1)
    return {
        "label_agreement": float(np.mean(expected.argmax(axis=1) == found.argmax(axis=1))),
        "mean_probability_agreement": float(1 - differences.mean()),
        "lowest_probability_agreement": float(1 - differences.max()),
    }


def _compare_dense(expected: Rows, found: Rows) -> dict[str, float]:
    cosines = _cosines(expected, found)
    pairs = np.triu_indices(len(expected), 1)
    before, after = ((unit @ unit.T)[pairs] for unit in (normalize_rows(expected), normalize_rows(found)))
    return {
        "dense_cosine_mean": float(cosines.mean()),
        "dense_cosine_p1": float(np.quantile(cosines, 0.01)),
        "pair_rank_correlation": rank_correlation(before, after),
        "pair_score_agreement_p1": float(1 - np.quantile(np.abs(before - after), 0.99)),
    }


def rank_correlation(before: Rows, after: Rows) -> float:
    """Return Spearman's rank correlation of two series; NaN if all numbers of one are equal.

    Equal numbers get the mean of their ranks.
    """
    return float(np.corrcoef(_ranks(before), _ranks(after))[0, 1])


def _ranks(values: Rows) -> NDArray[np.float64]:
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    ranks: NDArray[np.float64] = (ends - (counts - 1) / 2)[group]
    return ranks


def _cosines(expected: Rows, found: Rows) -> Rows:
    cosines: Rows = (normalize_rows(expected) * normalize_rows(found)).sum(axis=1)
    return cosines


def _overlap(expected: SparseWeights, found: SparseWeights) -> float:
    """Return the weighted Jaccard index of two sparse vectors; 1 if both are empty."""
    before = dict(zip(expected.ids.tolist(), expected.weights.tolist(), strict=True))
    after = dict(zip(found.ids.tolist(), found.weights.tolist(), strict=True))
    ids = before.keys() | after.keys()
    greater = sum(max(before.get(id_, 0.0), after.get(id_, 0.0)) for id_ in ids)
    smaller = sum(min(before.get(id_, 0.0), after.get(id_, 0.0)) for id_ in ids)
    return smaller / greater if greater else 1.0
