"""Sparse weights and multi-vectors equal the published formulas, alone and in a batch."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch

from model_cache.catalog.catalog import Serving, Task
from qda_worker.errors import ModelFailed, ModelUnusable, TextTooLong
from qda_worker.models import vectors
from qda_worker.models.base import LongText, Options, VectorKind
from qda_worker.models.loading import load_model
from qda_worker.models.vectors import VectorOptions
from tests.service.models.plain_m3 import PlainM3
from tests.service.models.test_loading import RunsCode
from tests.support.tiny_models import GERMAN, hub_model, write_embedding

LIMIT: Final = 64
TOLERANCE: Final = 1e-5  # float32: a batch's padding changes the last bits
TEXTS: Final = (
    *GERMAN,
    "das Haus in Köln war nicht schlecht " * 20,
    "gut gut gut",
    " ",
    "\u200b",
    "<mask> </s>",
)
ALL: Final = frozenset(VectorKind)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("m3")
    return write_embedding(
        folder, max_seq_length=LIMIT, normalize=True, pooling="cls", as_pickle=True, heads=True
    )


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    return load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)


def answer(
    model: Any, text: str, kinds: Collection[VectorKind] = ALL, policy: LongText = LongText.CUT
) -> Any:
    """Return the TextVectors; as Any, because each kind may be None."""
    prepared = model.prepare(text, VectorOptions(policy, frozenset(kinds)))
    return model.finish(text, prepared, model.compute(prepared.units)).answer


def weights_of(found: Any) -> dict[str, float]:
    return dict(zip(found.sparse.tokens, found.sparse.weights.tolist(), strict=True))


@pytest.mark.parametrize("text", TEXTS)
def test_all_kinds_of_one_pass_equal_the_published_formulas(model: Any, folder: Path, text: str) -> None:
    found, plain = answer(model, text), PlainM3(folder, LIMIT)(text)
    np.testing.assert_allclose(found.dense, plain.dense, atol=TOLERANCE)
    np.testing.assert_allclose(found.multi, plain.multi, atol=TOLERANCE)
    assert weights_of(found) == pytest.approx(plain.sparse, abs=TOLERANCE)


def test_a_text_has_the_same_vectors_alone_and_in_a_mixed_batch(model: Any) -> None:
    requested = [ALL, {VectorKind.SPARSE}, {VectorKind.DENSE}, {VectorKind.MULTI_VECTOR}]
    prepared = [
        model.prepare(text, VectorOptions(kinds=frozenset(requested[number % 4])))
        for number, text in enumerate(TEXTS)
    ]
    outputs = model.compute([each.units[0] for each in prepared])
    for number, (text, each, output) in enumerate(zip(TEXTS, prepared, outputs, strict=True)):
        together = model.finish(text, each, [output]).answer
        alone = answer(model, text)
        if VectorKind.DENSE in requested[number % 4]:
            np.testing.assert_allclose(together.dense, alone.dense, atol=TOLERANCE)
        if VectorKind.SPARSE in requested[number % 4]:
            assert weights_of(together) == pytest.approx(weights_of(alone), abs=TOLERANCE)
        if VectorKind.MULTI_VECTOR in requested[number % 4]:
            np.testing.assert_allclose(together.multi, alone.multi, atol=TOLERANCE)
        present = {
            VectorKind.DENSE: together.dense is not None,
            VectorKind.SPARSE: together.sparse is not None,
            VectorKind.MULTI_VECTOR: together.multi is not None,
        }
        assert {kind for kind, is_present in present.items() if is_present} == set(requested[number % 4])


def test_heads_that_are_not_requested_are_not_computed(model: Any) -> None:
    prepared = model.prepare("das Haus", Options())
    [output] = model.compute(prepared.units)
    assert output.weights is None
    assert output.rows is None


def test_sparse_weights_are_sorted_and_name_each_token_once(model: Any) -> None:
    sparse = answer(model, "das Haus </s> <s> Ω das Haus 😀 und das", {VectorKind.SPARSE}).sparse
    order = list(zip((-sparse.weights).tolist(), sparse.ids.tolist(), strict=True))
    assert order == sorted(order)
    assert len(set(sparse.ids.tolist())) == len(sparse.ids)
    assert not {0, 1, 2, 3} & set(sparse.ids.tolist())
    assert (sparse.weights > 0).all()
    assert (sparse.ids.dtype, sparse.weights.dtype) == (np.int32, np.float32)


def test_multi_vectors_have_one_unit_row_per_token_except_the_first(model: Any) -> None:
    prepared = model.prepare("das Haus in Köln", Options())
    multi = answer(model, "das Haus in Köln", {VectorKind.MULTI_VECTOR}).multi
    assert multi.shape == (prepared.used_length - 1, 32)
    np.testing.assert_allclose(np.linalg.norm(multi, axis=1), 1.0, atol=1e-6)


def test_windows_give_the_maximum_weights_and_one_row_per_token(model: Any) -> None:
    text = "das Haus in Köln war nicht schlecht und die Stadt ist sehr gut " * 15
    prepared = model.prepare(text, VectorOptions(LongText.WINDOW, ALL))
    assert len(prepared.windows) >= 3
    outputs = model.compute(prepared.units)
    found = model.finish(text, prepared, outputs).answer
    assert found.multi.shape == (prepared.length - 1, 32)
    by_id: dict[int, float] = {}
    for unit, output in zip(prepared.units, outputs, strict=True):
        for number, weight in zip(unit.payload.ids.tolist(), output.weights.tolist(), strict=True):
            by_id[number] = max(by_id.get(number, 0.0), weight)
    by_id = {number: weight for number, weight in by_id.items() if number > 3 and weight > 0}
    got = dict(zip(found.sparse.ids.tolist(), found.sparse.weights.tolist(), strict=True))
    assert got == pytest.approx(by_id)
    for token in range(prepared.length - 2):  # each content token's row is that of a window that holds it
        rows = [
            output.rows[token - window.start]
            for window, output in zip(prepared.windows, outputs, strict=True)
            if window.start <= token < window.end
        ]
        assert any(np.array_equal(found.multi[token], row) for row in rows)
    np.testing.assert_array_equal(found.multi[-1], outputs[-1].rows[-1])


def test_multi_vectors_of_too_many_tokens_are_refused(
    model: Any,
) -> None:
    text = "gut " * (vectors.MAX_MULTI_VECTOR_TOKENS + 10)
    with pytest.raises(TextTooLong, match="32768"):
        model.prepare(text, VectorOptions(LongText.WINDOW, ALL))
    assert model.prepare(text, VectorOptions(LongText.WINDOW)).windowed
    assert model.prepare(text, VectorOptions(LongText.CUT, ALL)).used_length == LIMIT


def test_a_shortened_vector_is_normalised_again_if_the_model_does(model: Any) -> None:
    whole = answer(model, "das Haus").dense
    prepared = model.prepare("das Haus", VectorOptions(dimension=8))
    short = model.finish("das Haus", prepared, model.compute(prepared.units)).answer.dense
    np.testing.assert_allclose(short, whole[:8] / np.linalg.norm(whole[:8]), atol=TOLERANCE)


def test_the_catalog_lists_the_lengths_of_shortened_vectors(folder: Path) -> None:
    """The files of a model do not tell how it was trained."""
    allowed = hub_model(Task.EMBEDDING, Serving(shortened_dimensions=(8, 16)))
    assert load_model(allowed, folder, device="cpu", threads=1).info.shortened_dimensions == (16, 8)
    with pytest.raises(ModelUnusable, match="shortened_dimensions names 32, and its vectors have 32"):
        load_model(
            hub_model(Task.EMBEDDING, Serving(shortened_dimensions=(8, 32))), folder, device="cpu", threads=1
        )


def test_numbers_that_are_not_finite_are_a_failure_of_the_model(tmp_path: Path) -> None:
    folder = write_embedding(tmp_path, max_seq_length=16, normalize=False, heads=True)
    model: Any = load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)
    with torch.no_grad():
        model._heads.sparse.weight.fill_(float("inf"))
    assert answer(model, "gut", {VectorKind.DENSE}).dense is not None
    with pytest.raises(ModelFailed, match="not finite"):
        answer(model, "gut", {VectorKind.SPARSE})


@pytest.mark.parametrize(
    ("heads", "kinds"),
    [
        ((), {VectorKind.DENSE}),
        (("sparse",), {VectorKind.DENSE, VectorKind.SPARSE}),
        (("colbert",), {VectorKind.DENSE, VectorKind.MULTI_VECTOR}),
    ],
)
def test_the_kinds_of_a_model_follow_from_its_files(
    tmp_path: Path, heads: tuple[str, ...], kinds: set[VectorKind]
) -> None:
    folder = write_embedding(tmp_path, max_seq_length=16, normalize=True, heads=True)
    for name in {"sparse", "colbert"} - set(heads):
        (folder / f"{name}_linear.pt").unlink()
    model = load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)
    assert set(model.info.vector_kinds) == kinds
    assert model.info.multi_dimension == (32 if "colbert" in heads else None)


def linear(width: int, out: int) -> dict[str, torch.Tensor]:
    return dict(torch.nn.Linear(width, out).state_dict())


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("sparse_linear.pt", linear(16, 1), "reads states of width 16, and the encoder's are 32 wide"),
        ("colbert_linear.pt", linear(16, 32), "reads states of width 16"),
        ("sparse_linear.pt", linear(32, 5), "gives 5 numbers a token"),
        ("colbert_linear.pt", {"weight": torch.ones(32)}, "no matrix"),
        ("colbert_linear.pt", {"weight": torch.ones(8, 32), "bias": torch.ones(9)}, "bias of another size"),
        ("sparse_linear.pt", {**linear(32, 1), "more": torch.ones(1)}, "something else"),
        ("sparse_linear.pt", [1, 2], "something else"),
    ],
)
def test_a_head_that_does_not_fit_is_refused_by_name(
    tmp_path: Path, name: str, content: object, message: str
) -> None:
    folder = write_embedding(tmp_path, max_seq_length=16, normalize=True, heads=True)
    torch.save(content, folder / name)
    with pytest.raises(ModelUnusable, match=f"model tiny: {name} .*{message}"):
        load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)


@pytest.mark.parametrize("name", ["sparse_linear.pt", "colbert_linear.pt"])
def test_a_head_that_would_run_code_is_refused_and_runs_none(tmp_path: Path, name: str) -> None:
    folder = write_embedding(tmp_path / "model", max_seq_length=16, normalize=True, heads=True)
    torch.save({"weight": RunsCode(tmp_path / "ran")}, folder / name)
    torch.save(
        RunsCode(tmp_path / "ran"), folder / "another.pt"
    )  # never loaded, so not reported as the cause
    with pytest.raises(ModelUnusable, match=f"model tiny: {name} holds Python objects"):
        load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"<html>Please log in</html>", None])
def test_a_truncated_head_or_a_web_page_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    folder = write_embedding(tmp_path, max_seq_length=16, normalize=True, heads=True)
    file = folder / "colbert_linear.pt"
    file.write_bytes(file.read_bytes()[:900] if content is None else content)
    with pytest.raises(ModelUnusable, match=r"model tiny: colbert_linear\.pt cannot be read"):
        load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)
