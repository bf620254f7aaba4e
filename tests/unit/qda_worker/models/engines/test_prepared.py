"""The variants of a form: which are used, and which computation is not trusted."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from safetensors.torch import load_file

from model_cache.catalog.catalog import Model, Precision, Task
from model_cache.prepared_form import PreparedForm
from qda_worker.models.base import Options
from qda_worker.models.engines.base import EngineName, EngineUnavailable
from qda_worker.models.engines.measurement import Measurement
from qda_worker.models.engines.prepared import (
    SAMPLE_NAME,
    Variant,
    build_engine,
    choose_engine,
    install_form,
    missing_instructions,
    sample_error,
)
from qda_worker.models.loading import load_model
from qda_worker.prepare.prepare import make_form
from qda_worker.prepare.texts import Texts, gate_texts
from tests.support.timed_engine import Clock, TimedEngine
from tests.support.tiny_models import hub_model, write_embedding

TEXTS: Final = Texts(gate_texts().texts[::4], 90, "")


@dataclass(frozen=True)
class Made:
    """A model, and its int8 form in a folder."""

    model: Model
    path: Path
    folder: Path
    form: PreparedForm

    def load(self) -> Any:
        return load_model(self.model, self.path, device="cpu", threads=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    path, folder = tmp_path_factory.mktemp("model"), tmp_path_factory.mktemp("made") / "form"
    write_embedding(path, max_seq_length=64, normalize=True, spread=0.1)
    hashes = {
        file.relative_to(path).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in path.rglob("*")
        if file.is_file()
    }
    model = hub_model(Task.EMBEDDING)
    result = make_form(model, path, hashes, Precision.INT8, folder, TEXTS, threads=1, report=str)
    return Made(model, path, folder, result.form)


def dense(model: Any, text: str = "Das war sehr gut.") -> Any:
    prepared = model.prepare(text, Options())
    return model.finish(text, prepared, model.compute(prepared.units)).answer.dense


@pytest.mark.parametrize("wanted", [None, EngineName.TORCH, EngineName.OPENVINO])
def test_a_network_computes_with_the_form(made: Made, wanted: EngineName | None) -> None:
    model = made.load()
    before = dense(model)
    names = install_form(model.network, made.folder, made.form, wanted, 1).names
    after = dense(model)
    assert names == (str(wanted),) if wanted else len(names) == 1
    assert 0.98 < float(before @ after) < 1.000001
    assert not (before == after).all()


def test_each_variant_has_the_error_that_its_record_tells(made: Made) -> None:
    network = made.load().network
    sample = load_file(made.folder / SAMPLE_NAME)
    for name, recorded in made.form.recipe["sample_errors"].items():
        engine = build_engine(Variant(name), made.folder, network, 1)
        assert sample_error(engine, sample) == pytest.approx(recorded, rel=0.05)


def test_a_variant_that_computes_worse_here_is_not_used(made: Made) -> None:
    """As on a CPU whose kernels saturate, or with a library that has a bug there."""
    errors = made.form.recipe["sample_errors"]
    small = {Variant.TORCH_DYNAMIC: errors[Variant.TORCH_DYNAMIC] / 9, Variant.OPENVINO_STATIC: 0.5}
    form = made.form._replace(recipe={"sample_errors": small})
    assert install_form(made.load().network, made.folder, form, None, 1).names == ("openvino",)
    with pytest.raises(EngineUnavailable, match="error on the sample"):
        install_form(made.load().network, made.folder, form, EngineName.TORCH, 1)


def test_a_record_without_errors_is_not_trusted(made: Made) -> None:
    with pytest.raises(EngineUnavailable, match="no error on the sample"):
        install_form(made.load().network, made.folder, made.form._replace(recipe={}), None, 1)


def test_an_engine_without_a_variant_is_told(made: Made) -> None:
    figures = {str(Variant.TORCH_DYNAMIC): made.form.gate.figures[Variant.TORCH_DYNAMIC]}
    form = made.form._replace(gate=made.form.gate._replace(figures=figures))
    with pytest.raises(EngineUnavailable, match="no variant for the engine openvino"):
        install_form(made.load().network, made.folder, form, EngineName.OPENVINO, 1)


def test_variants_of_a_later_version_are_passed_over(made: Made) -> None:
    form = made.form._replace(gate=made.form.gate._replace(figures={"onnx-static": {}}))
    with pytest.raises(EngineUnavailable, match="no variant that this version knows"):
        install_form(made.load().network, made.folder, form, None, 1)


def test_a_form_of_another_network_does_not_load(made: Made, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    write_embedding(tmp_path / "other", max_seq_length=64, normalize=True, layers=3)
    other: Any = load_model(made.model, tmp_path / "other", device="cpu", threads=1)
    with pytest.raises(EngineUnavailable, match="torch-dynamic"):
        install_form(other.network, made.folder, made.form, EngineName.TORCH, 1)


@pytest.mark.parametrize(
    ("precision", "flags", "missing"),
    [
        (Precision.BF16, {"avx2", "avx512_vnni"}, True),
        (Precision.BF16, {"avx2", "avx512_bf16"}, False),
        (Precision.BF16, {"asimd", "bf16"}, False),
        (Precision.INT8, {"sse4_2"}, True),
        (Precision.INT8, {"avx2"}, False),
        (Precision.INT8, set(), False),
    ],
)
def test_a_precision_that_the_cpu_lacks_is_told(precision: Precision, flags: set[str], missing: bool) -> None:
    assert bool(missing_instructions(precision, frozenset(flags))) is missing


@pytest.mark.parametrize(
    ("seconds", "fastest"),
    [
        ([{1: 2.0, 32: 10.0}, {1: 1.0, 32: 9.0}], 1),
        ([{1: 1.0, 32: 10.0}, {1: 1.1, 32: 30.0}], 0),
        ([{1: 5.0, 32: 10.0}, {1: 1.0, 32: 11.0}], 1),
    ],
)
def test_the_engine_with_the_least_relative_time_is_chosen(
    seconds: Sequence[dict[int, float]], fastest: int
) -> None:
    clock = Clock()
    engines = [TimedEngine(EngineName.TORCH, one, clock) for one in seconds]
    assert choose_engine(engines, Measurement(8, clock=clock, seconds=1000)) is engines[fastest]
