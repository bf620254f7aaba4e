"""The accuracy gate: what it measures, and which damage it refuses."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch

from model_cache.catalog.catalog import Precision, Task
from model_cache.prepared_form import GateFigure
from qda_worker.models.engines.base import TorchEngine
from qda_worker.models.engines.torch_reduced import bf16_encoder, bf16_tensors, int8_encoder, int8_tensors
from qda_worker.models.loading import load_model
from qda_worker.models.vectors import SparseWeights
from qda_worker.prepare.forms import using_engine
from qda_worker.prepare.gate import (
    THRESHOLDS,
    GateAnswers,
    compute_answers,
    judge,
    measure,
    rank_correlation,
)
from qda_worker.prepare.texts import gate_texts
from tests.support.tiny_models import hub_model, write_classifier, write_embedding

TEXTS: Final = gate_texts().texts[::3]


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("embedding")
    write_embedding(folder, max_seq_length=64, normalize=True, pooling="cls", heads=True, spread=0.1)
    return load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("classifier")
    write_classifier(folder, ("positive", "negative", "neutral"), spread=0.1)
    return load_model(hub_model(Task.SENTIMENT), folder, device="cpu", threads=1)


def failed(figures: Mapping[str, GateFigure]) -> set[str]:
    return {name for name, figure in figures.items() if not figure.passed}


def with_int8(model: Any, change: Any) -> GateAnswers:
    """Return the answers of dynamic int8 whose tensors were changed."""
    encoder = model.network.base_model.encoder
    tensors = int8_tensors(encoder)
    change(tensors)
    with using_engine(model.network, TorchEngine(int8_encoder(encoder, tensors))):
        return compute_answers(model, TEXTS)


def test_the_same_answers_have_the_greatest_value_of_every_figure(embedding: Any, classifier: Any) -> None:
    for model in (embedding, classifier):
        answers = compute_answers(model, TEXTS)
        figures = judge(answers, answers, Precision.BF16)
        assert all(figure.value == pytest.approx(1, abs=1e-5) for figure in figures.values())
        assert not failed(figures)


def test_every_figure_has_a_threshold_in_each_precision(embedding: Any, classifier: Any) -> None:
    names = set()
    for model in (embedding, classifier):
        answers = compute_answers(model, TEXTS[:20])
        names |= set(measure(answers, answers))
    assert all(set(thresholds) == names for thresholds in THRESHOLDS.values())


def test_rounding_to_int8_passes(embedding: Any) -> None:
    found = with_int8(embedding, dict)
    assert not failed(judge(compute_answers(embedding, TEXTS), found, Precision.INT8))


def test_rounding_to_bf16_passes(embedding: Any) -> None:
    encoder = embedding.network.base_model.encoder
    rounded = bf16_encoder(encoder, bf16_tensors(encoder)).float()
    with using_engine(embedding.network, TorchEngine(rounded)):
        found = compute_answers(embedding, TEXTS)
    assert not failed(judge(compute_answers(embedding, TEXTS), found, Precision.BF16))


def test_destroyed_scales_of_one_layer_are_refused(embedding: Any, classifier: Any) -> None:
    def destroy(tensors: dict[str, torch.Tensor]) -> None:
        tensors["layer.1.output.dense.weight_scale"] *= 8

    for model in (embedding, classifier):
        found = with_int8(model, destroy)
        assert failed(judge(compute_answers(model, TEXTS), found, Precision.INT8))


def test_zeroed_weights_are_refused(embedding: Any, classifier: Any) -> None:
    def zero(tensors: dict[str, torch.Tensor]) -> None:
        for name, tensor in tensors.items():
            if name.endswith("weight"):
                tensor.zero_()

    for model in (embedding, classifier):
        expected = compute_answers(model, TEXTS)
        encoder = model.network.base_model.encoder
        tensors = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
        zero(tensors)
        with using_engine(model.network, TorchEngine(bf16_encoder(encoder, tensors))):
            found = compute_answers(model, TEXTS)
        assert failed(judge(expected, found, Precision.INT8))


def test_swapped_labels_are_refused(classifier: Any) -> None:
    expected = compute_answers(classifier, TEXTS)
    assert expected.probabilities is not None
    order = np.argsort(-expected.probabilities.mean(axis=0))  # the two most frequent ones
    swapped = expected.probabilities.copy()
    swapped[:, order[:2]] = swapped[:, order[1::-1]]
    figures = judge(expected, GateAnswers(probabilities=swapped), Precision.INT8)
    assert "label_agreement" in failed(figures)


def test_vectors_in_another_order_are_refused_even_if_all_are_similar() -> None:
    generator = np.random.default_rng(1)
    dense = (10 + generator.normal(size=(200, 16))).astype(np.float32)  # a narrow cone
    shuffled = dense[generator.permutation(len(dense))]
    figures = judge(GateAnswers(dense=dense), GateAnswers(dense=shuffled), Precision.INT8)
    assert figures["dense_cosine_mean"].passed
    assert not figures["pair_rank_correlation"].passed


def test_numbers_that_are_not_finite_fail_every_figure(classifier: Any) -> None:
    expected = compute_answers(classifier, TEXTS)
    figures = judge(expected, None, Precision.INT8)
    assert failed(figures) == set(figures)
    assert all(math.isfinite(figure.value) for figure in figures.values())


def test_vectors_that_are_all_equal_fail() -> None:
    dense = np.random.default_rng(2).normal(size=(150, 8)).astype(np.float32)
    figures = judge(GateAnswers(dense=dense), GateAnswers(dense=np.ones_like(dense)), Precision.INT8)
    assert not figures["pair_rank_correlation"].passed
    assert math.isfinite(figures["pair_rank_correlation"].value)


def test_a_sparse_vector_without_its_greatest_token_overlaps_less() -> None:
    full = SparseWeights(np.array([5, 3], np.int32), np.array([0.3, 0.1], np.float32), ("a", "b"))
    less = SparseWeights(np.array([3], np.int32), np.array([0.1], np.float32), ("b",))
    empty = SparseWeights(np.array([], np.int32), np.array([], np.float32), ())
    overlap = {
        name: measure(GateAnswers(sparse=(before,)), GateAnswers(sparse=(after,)))["sparse_overlap_mean"]
        for name, before, after in (("same", full, full), ("less", full, less), ("empty", empty, empty))
    }
    assert overlap == pytest.approx({"same": 1.0, "less": 0.25, "empty": 1.0})


def test_rank_correlation_counts_ties_by_their_mean_rank() -> None:
    before = np.array([1, 2, 2, 4], np.float32)
    assert rank_correlation(before, before**3) == pytest.approx(1)
    assert rank_correlation(before, -before) == pytest.approx(-1)
    assert rank_correlation(before, np.array([1, 3, 2, 4], np.float32)) == pytest.approx(0.9487, abs=1e-4)


def test_texts_of_all_lengths_keep_their_order(embedding: Any, tmp_path: Path) -> None:
    texts = ["kurz", "Das war sehr gut. " * 12, "Haus", "Die Stadt in Köln. " * 3]
    together = compute_answers(embedding, texts)
    alone = [compute_answers(embedding, [text]) for text in texts]
    assert together.dense is not None
    for number, one in enumerate(alone):
        assert one.dense is not None
        assert np.allclose(together.dense[number], one.dense[0], atol=1e-5)
        assert np.allclose(together.multi[number], one.multi[0], atol=1e-5)
    assert replace(together, dense=None).dense is None
