"""Damage to a model's files is reported in one line with a remedy, and no code of theirs is run."""

import os
import pickle
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
import torch
from transformers import AutoModel, BertModel

from model_cache.catalog.catalog import Precision, Serving, Task
from model_cache.reasons import Reason
from qda_worker.errors import ModelUnusable
from qda_worker.models.base import Options
from qda_worker.models.loading import load_model
from tests.support.tiny_models import (
    bert_config,
    bert_tokenizer,
    hub_model,
    write_classifier,
    write_embedding,
    write_json,
)

LABELS: Final = ("positive", "negative", "neutral")


class RunsCode:
    """A hostile pickle: it calls a function while it is read."""

    def __init__(self, trace: Path) -> None:
        self._trace = trace

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (os.mkdir, (str(self._trace),))


def hostile_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weight": RunsCode(folder / "ran")}, folder / "pytorch_model.bin")


def hostile_old_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(RunsCode(folder / "ran"), protocol=2))


def page_instead_of_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"<html>Please log in</html>" * 50)


def foreign_pickle_beside_damage(folder: Path) -> None:
    """Add a file that is never loaded, as in a complete download: it is not reported as the cause."""
    torch.save({"arguments": RunsCode(folder / "ran")}, folder / "training_args.bin")
    cut_weights(folder)


def cut_weights(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def no_tokenizer(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        (folder / name).unlink(missing_ok=True)


def cut_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "be')


def foreign_architecture(folder: Path) -> None:
    write_json(folder / "config.json", {"model_type": "no-such-architecture"})


def code_of_its_own(folder: Path) -> None:
    own = {"AutoConfig": "own.Config", "AutoModelForSequenceClassification": "own.Network"}
    write_json(folder / "config.json", {"model_type": "own-architecture", "auto_map": own})
    (folder / "own.py").write_text(f"import os\nos.mkdir({str(folder / 'ran')!r})\n")


def no_classifier(folder: Path) -> None:
    BertModel(bert_config(bert_tokenizer(folder, 24), 24, LABELS)).save_pretrained(folder)


def other_width(folder: Path) -> None:
    config = bert_config(bert_tokenizer(folder, 24), 24, LABELS)
    config.hidden_size = 64
    config.save_pretrained(folder)


DAMAGE: Final[dict[Callable[[Path], None], str]] = {
    hostile_pickle: r"pytorch_model\.bin holds Python objects other than tensors",
    hostile_old_pickle: r"pytorch_model\.bin holds Python objects other than tensors",
    page_instead_of_weights: r"pytorch_model\.bin cannot be read",
    foreign_pickle_beside_damage: r"model\.safetensors cannot be read",
    cut_weights: r"model\.safetensors cannot be read",
    no_weights: "a file is missing",
    no_config: r"a file is missing: config\.json",
    no_tokenizer: "its tokenizer has no vocabulary",
    cut_config: r"config\.json cannot be read",
    foreign_architecture: "its architecture is not one that this worker loads",
    code_of_its_own: "Python code of its own",
    no_classifier: r"its weights lack 2 tensors of a classifier, such as classifier\.bias",
    other_width: r"its weights have other sizes than config\.json says",
}


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damage_is_reported_in_one_line_and_runs_no_code(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = write_classifier(tmp_path / "model", LABELS)
    damage(folder)
    with pytest.raises(ModelUnusable, match=f"^MODEL_UNUSABLE: model tiny: .*{DAMAGE[damage]}") as refused:
        load_model(hub_model(Task.SENTIMENT), folder, device="cpu", threads=1)
    assert refused.value.reason is Reason.MODEL_UNUSABLE
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500
    assert refused.value.remedy
    assert not (folder / "ran").exists()


def test_a_hostile_pickle_in_embedding_weights_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_embedding(tmp_path / "model", max_seq_length=16, normalize=True)
    hostile_pickle(folder)
    with pytest.raises(ModelUnusable, match=r"pytorch_model\.bin holds Python objects"):
        load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)
    assert not (folder / "ran").exists()


def test_a_missing_folder_is_reported_with_the_command_that_fills_it(tmp_path: Path) -> None:
    with pytest.raises(ModelUnusable, match="is missing") as refused:
        load_model(hub_model(Task.SENTIMENT), tmp_path / "nowhere", device="cpu", threads=1)
    assert "cache-warmer warm" in refused.value.remedy


def test_a_precision_without_a_prepared_form_is_refused(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path, LABELS)
    model = hub_model(Task.SENTIMENT, Serving(precision=Precision.BF16))
    with pytest.raises(ModelUnusable, match="bf16 needs a prepared form"):
        load_model(model, folder, device="cpu", threads=1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_missing_device_is_refused(tmp_path: Path) -> None:
    folder = write_classifier(tmp_path, LABELS)
    with pytest.raises(ModelUnusable, match="no CUDA device"):
        load_model(hub_model(Task.SENTIMENT), folder, device="cuda", threads=1)


def test_weights_stored_in_float16_are_computed_in_float32(tmp_path: Path) -> None:
    """By default, transformers 5 computes in the stored type."""
    folder = write_embedding(tmp_path, max_seq_length=16, normalize=False)
    AutoModel.from_pretrained(folder).half().save_pretrained(folder)
    model = load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)
    parameters = model._network.parameters()  # type: ignore[attr-defined]  # the network is private
    assert {parameter.dtype for parameter in parameters} == {torch.float32}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc/self/maps")
@pytest.mark.parametrize("as_pickle", [False, True])
def test_weights_are_mapped_from_their_file(tmp_path: Path, as_pickle: bool) -> None:
    """Then the pods of a node share the pages."""
    folder = write_embedding(tmp_path, max_seq_length=16, normalize=False, as_pickle=as_pickle)
    model = load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)
    name = "pytorch_model.bin" if as_pickle else "model.safetensors"
    pattern = rf"(?m)^([0-9a-f]+)-([0-9a-f]+) .*{re.escape(str(folder / name))}"
    found = re.findall(pattern, Path("/proc/self/maps").read_text(encoding="utf-8"))
    mapped = [(int(low, 16), int(high, 16)) for low, high in found]
    parameters = model._network.parameters()  # type: ignore[attr-defined]  # the network is private
    for parameter in parameters:
        assert any(low <= parameter.data_ptr() < high for low, high in mapped)


def test_loading_and_computing_write_nothing_into_the_cache(tmp_path: Path) -> None:
    folder = write_embedding(tmp_path, max_seq_length=16, normalize=True, pooling="cls", as_pickle=True)

    def listing() -> dict[Path, tuple[int, int]]:
        return {file: (file.stat().st_mtime_ns, file.stat().st_size) for file in folder.rglob("*")}

    before = listing()
    model = load_model(hub_model(Task.EMBEDDING), folder, device="cpu", threads=1)
    [output] = model.compute(model.prepare("gut", Options()).units)
    assert np.isfinite(output.dense).all()
    assert listing() == before
