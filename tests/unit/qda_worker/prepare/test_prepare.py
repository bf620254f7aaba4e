"""Making a form: what is in its folder at the end, and that a run that fails leaves nothing."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from model_cache.catalog.catalog import Model, Precision, Task
from model_cache.errors import ModelCacheError, UsageError
from model_cache.prepared_form import dump_form, gate_failure, parse_form, source_mismatch
from model_cache.reasons import Reason
from qda_worker.errors import ModelUnusable
from qda_worker.models.engines.prepared import Variant
from qda_worker.prepare.prepare import GateFailed, PreparedResult, make_form
from qda_worker.prepare.texts import Texts, gate_texts
from tests.support.precisions import AVAILABLE
from tests.support.tiny_models import hub_model, write_classifier, write_embedding

SHIPPED: Final = gate_texts()
TEXTS: Final = Texts(SHIPPED.texts[::3], 100, SHIPPED.sha256)


@dataclass(frozen=True)
class Source:
    """A model in a folder, and the hashes of its files."""

    model: Model
    folder: Path

    @property
    def hashes(self) -> dict[str, str]:
        return {
            path.relative_to(self.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.folder.rglob("*")
            if path.is_file()
        }

    def make(
        self, out: Path, precision: Precision = AVAILABLE[0], report: Callable[[str], object] = str
    ) -> PreparedResult:
        return make_form(
            self.model, self.folder, self.hashes, precision, out, TEXTS, threads=1, report=report
        )


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> Source:
    folder = tmp_path_factory.mktemp("embedding")
    write_embedding(folder, max_seq_length=64, normalize=True, pooling="cls", heads=True, spread=0.1)
    return Source(hub_model(Task.EMBEDDING), folder)


@pytest.fixture(scope="module")
def unstable(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Return a model whose layers enlarge small differences, so that no int8 of it is close to fp32."""
    folder = tmp_path_factory.mktemp("classifier")
    write_classifier(folder, ("positive", "negative", "neutral"), spread=0.5)
    return Source(hub_model(Task.SENTIMENT), folder)


@pytest.mark.parametrize("precision", AVAILABLE)
def test_a_form_has_a_record_of_every_file_and_of_the_source(
    embedding: Source, tmp_path: Path, precision: Precision
) -> None:
    out = tmp_path / "new" / "form"
    result = embedding.make(out, precision)
    form = parse_form((out / "form.json").read_bytes())
    assert (form.model, form.task, form.precision) == ("tiny", Task.EMBEDDING, precision)
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {file.path for file in form.files} | {"form.json"}
    assert all(
        hashlib.sha256((out / file.path).read_bytes()).hexdigest() == file.sha256 for file in form.files
    )
    assert source_mismatch(form, embedding.hashes) == ""
    assert gate_failure(form) == ""
    assert form.variants
    assert set(form.recipe["sample_errors"]) == set(form.variants)
    assert form.versions["torch"]
    assert result.digest == hashlib.sha256((out / "form.json").read_bytes()).hexdigest()


def test_int8_has_a_static_and_a_dynamic_variant(embedding: Source, tmp_path: Path) -> None:
    result = embedding.make(tmp_path / "form", Precision.INT8)
    assert set(result.form.variants) == {Variant.TORCH_DYNAMIC, Variant.OPENVINO_STATIC}


def test_a_form_that_fails_the_gate_leaves_nothing(unstable: Source, tmp_path: Path) -> None:
    out = tmp_path / "form"
    with pytest.raises(GateFailed) as caught:
        unstable.make(out, Precision.INT8)
    assert caught.value.reason is Reason.GATE_FAILED
    assert "label_agreement" in caught.value.message
    assert set(caught.value.figures) == {Variant.TORCH_DYNAMIC, Variant.OPENVINO_STATIC}
    assert not out.exists()


def test_an_empty_folder_of_the_user_stays(unstable: Source, tmp_path: Path) -> None:
    (tmp_path / "form").mkdir()
    with pytest.raises(GateFailed):
        unstable.make(tmp_path / "form", Precision.INT8)
    assert list((tmp_path / "form").iterdir()) == []


def test_a_folder_with_something_else_is_left_alone(embedding: Source, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("important")
    with pytest.raises(UsageError, match="not empty"):
        embedding.make(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "important"


def test_a_file_is_no_folder(embedding: Source, tmp_path: Path) -> None:
    (tmp_path / "form").write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        embedding.make(tmp_path / "form")


def test_the_wanted_form_is_not_made_again(embedding: Source, tmp_path: Path) -> None:
    out = tmp_path / "form"
    first = embedding.make(out)
    lines: list[str] = []
    second = embedding.make(out, report=lines.append)
    assert (second.digest, second.form) == (first.digest, parse_form((out / "form.json").read_bytes()))
    assert lines == [f"{out} has this form already"]


def test_a_form_that_was_made_in_another_way_is_not_the_wanted_one(embedding: Source, tmp_path: Path) -> None:
    out, lines = tmp_path / "form", list[str]()
    embedding.make(out, Precision.INT8)
    embedding.make(out, Precision.INT8, report=lines.append)
    assert lines == [f"{out} has this form already"]
    form = parse_form((out / "form.json").read_bytes())
    earlier = {name: {"method": "another"} for name in form.variants}
    content = dump_form(form._replace(recipe={**form.recipe, "variants": earlier}))
    (out / "form.json").write_bytes(content)

    with pytest.raises(UsageError, match="not empty"):
        embedding.make(out, Precision.INT8)


def test_another_form_is_not_overwritten(embedding: Source, tmp_path: Path) -> None:
    out = tmp_path / "form"
    embedding.make(out)
    record = (out / "form.json").read_bytes()
    other = Source(embedding.model._replace(key="other"), embedding.folder)
    with pytest.raises(UsageError, match="not empty"):
        other.make(out)
    (out / "encoder.safetensors").write_bytes(b"damaged")
    with pytest.raises(UsageError, match="not empty"):
        embedding.make(out)
    assert (out / "form.json").read_bytes() == record


def test_what_a_killed_run_left_is_replaced(embedding: Source, tmp_path: Path) -> None:
    (tmp_path / ".incomplete").touch()
    (tmp_path / "openvino-old").mkdir()
    (tmp_path / "openvino-old" / "encoder.safetensors").write_bytes(b"half")
    result = embedding.make(tmp_path)
    assert not (tmp_path / "openvino-old").exists()
    assert not (tmp_path / ".incomplete").exists()
    assert result.form.variants


@pytest.mark.parametrize("step", ["loading", "making", "computing the texts of the gate with"])
def test_a_run_that_is_interrupted_leaves_nothing(embedding: Source, tmp_path: Path, step: str) -> None:
    out = tmp_path / "form"

    def interrupt(line: str) -> None:
        if line.startswith(step):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embedding.make(out, report=interrupt)
    assert not out.exists()


def test_files_that_are_not_those_of_the_record_are_refused(embedding: Source, tmp_path: Path) -> None:
    wrong = {**embedding.hashes, "config.json": "0" * 64}
    for hashes, reason in ((wrong, Reason.CACHE_CORRUPT), ({"gone.bin": "0" * 64}, Reason.CACHE_INCOMPLETE)):
        with pytest.raises(ModelCacheError) as caught:
            make_form(
                embedding.model, embedding.folder, hashes, AVAILABLE[0], tmp_path / "form", TEXTS,
                threads=1, report=str,
            )  # fmt: skip
        assert caught.value.reason is reason
        assert not (tmp_path / "form").exists()


def test_a_model_that_does_not_load_is_told(embedding: Source, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ModelUnusable, match="tiny"):
        Source(embedding.model, folder).make(tmp_path / "form")
