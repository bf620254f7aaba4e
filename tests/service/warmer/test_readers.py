"""A warmed cache read by the unmodified libraries: offline, from a read-only mount, as another user."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.service.warmer.fixtures import Workspace, catalog_of, write_wheel
from tests.support.fake_hub import FakeHub, Repository

MAKE: Final = """
import sys
from pathlib import Path
import spacy, torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Pooling, Transformer
from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast
root = Path(sys.argv[1])
torch.manual_seed(0)
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "ein", "gutes", "buch"]
shape = dict(vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
(root / "words.txt").write_text("\\n".join(words))
tokenizer = BertTokenizerFast(str(root / "words.txt"))
BertForSequenceClassification(BertConfig(**shape)).save_pretrained(root / "classifier")
tokenizer.save_pretrained(root / "classifier")
BertModel(BertConfig(**shape)).save_pretrained(root / "bare")
tokenizer.save_pretrained(root / "bare")
body = Transformer(str(root / "bare"))
SentenceTransformer(modules=[body, Pooling(8)]).save_pretrained(str(root / "sentences"))
pipeline = spacy.blank("de")
pipeline.meta["name"] = "tiny"
pipeline.add_pipe("ner").add_label("ORT")
pipeline.initialize()
pipeline.to_disk(root / "pipeline")
"""

READ: Final = """
import json, os, stat, sys
from huggingface_hub import snapshot_download
from sentence_transformers import SentenceTransformer
from transformers import AutoModelForSequenceClassification, AutoTokenizer
import spacy
commit, reader = sys.argv[1], int(sys.argv[2])
def read():
    for revision in ("main", commit):
        for alone in (False, True):
            path = snapshot_download("org/classifier", revision=revision, local_files_only=alone)
            assert os.path.basename(path) == commit, path
        model = AutoModelForSequenceClassification.from_pretrained("org/classifier", revision=revision)
        tokenizer = AutoTokenizer.from_pretrained("org/classifier", revision=revision)
    vectors = SentenceTransformer("org/sentences").encode(["ein gutes buch"])
    older = SentenceTransformer("org/sentences", cache_folder=os.environ["TORCH_HOME"] + "/sentence_transformers")
    return {
        "tokens": tokenizer("ein gutes buch")["input_ids"], "dimension": vectors.shape[1],
        "pipes": spacy.load("de_tiny").pipe_names,
        "same": bool((vectors == older.encode(["ein gutes buch"])).all()),
    }
first = read()  # imports what is imported late: another user may not be able to read this installation
if reader:
    os.setgroups([]); os.setgid(reader); os.setuid(reader)
    assert os.statvfs(os.environ["HF_HUB_CACHE"]).f_flag & os.ST_RDONLY
    assert read() == first
print(json.dumps(first | {"uid": os.getuid()}))
"""
IS_ROOT: Final = os.geteuid() == 0
READER: Final = 40_003


@pytest.fixture(scope="module")
def models_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    run(MAKE, {}, str(folder))
    return folder


def run(program: str, environ: dict[str, str], *arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program, *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def files_below(folder: Path) -> dict[str, Path]:
    return {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}


@contextmanager
def seen_by_readers(cache: Path, folder: Path) -> Iterator[Path]:
    """Mount the cache read-only at another path, as a pod does. Users other than root get it where it is."""
    if not IS_ROOT:
        yield cache
        return
    folder.mkdir()
    for how in (["--bind", str(cache)], ["-o", "remount,bind,ro"]):
        subprocess.run(["mount", *how, str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_the_libraries_read_a_warmed_cache_offline(models_folder: Path, tmp_path: Path) -> None:
    decoy = tmp_path / "onnx.bin"
    decoy.write_bytes(b"never fetched")
    repositories = [
        Repository("org/classifier", {**files_below(models_folder / "classifier"), "onnx/model.onnx": decoy}),
        Repository("org/sentences", {**files_below(models_folder / "sentences"), "onnx/model.onnx": decoy}),
    ]
    package = models_folder / "pipeline"
    files = {
        f"de_tiny/de_tiny-1.0.0/{name}": path.read_bytes() for name, path in files_below(package).items()
    }
    init = "from pathlib import Path\nfrom spacy.util import load_model_from_init_py\n\n\n"
    init += "def load(**overrides):\n    return load_model_from_init_py(__file__, **overrides)\n"
    meta = (package / "meta.json").read_bytes()
    inner = {**files, "de_tiny/__init__.py": init.encode(), "de_tiny/meta.json": meta}
    inner["de_tiny/de_tiny-1.0.0/meta.json"] = json.dumps({**json.loads(meta), "version": "1.0.0"}).encode()
    inner["de_tiny/meta.json"] = inner["de_tiny/de_tiny-1.0.0/meta.json"]
    wheel = write_wheel(tmp_path, "de_tiny", "1.0.0", inner)
    workspace = Workspace(tmp_path, FakeHub(repositories, [wheel]), repositories, wheel, wheel)
    workspace.catalog.write_text(yaml.safe_dump(catalog(repositories, wheel)), "utf-8")
    before = os.umask(0o077)
    try:
        with workspace.hub:
            assert workspace.warm().reason == "OK"
    finally:
        os.umask(before)
    with seen_by_readers(workspace.cache, tmp_path / "mounted") as cache:
        reading = {
            "HF_HUB_CACHE": str(cache / "huggingface/hub"),
            "HF_HOME": str(tmp_path / "unused"),
            "TORCH_HOME": str(cache / "torch"),
            "PYTHONPATH": str(cache / "spacy"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HF_HUB_OFFLINE": "1",
        }
        before_reading = sorted(str(path) for path in cache.rglob("*"))
        reader = READER if IS_ROOT else 0

        results = json.loads(run(READ, reading, repositories[0].commit, str(reader)))

        assert sorted(str(path) for path in cache.rglob("*")) == before_reading, "readers write nothing"
    assert results == {
        "tokens": [2, 5, 6, 7, 3], "dimension": 8, "pipes": ["ner"], "same": True, "uid": reader or os.getuid(),
    }  # fmt: skip


def test_links_refs_and_lists_are_valid_in_any_mount(workspace: Workspace) -> None:
    assert workspace.warm().reason == "OK"

    links = [path for path in workspace.cache.rglob("*") if path.is_symlink()]
    assert links
    for link in links:
        assert not os.path.isabs(os.readlink(link)), link
        assert link.resolve(strict=True).is_relative_to(workspace.cache), link
    for repository in workspace.repositories:
        folder = workspace.cache / "huggingface/hub" / f"models--{repository.id.replace('/', '--')}"
        assert (folder / "refs/main").read_bytes() == repository.commit.encode()
        listed = json.loads((folder / f"trees/{repository.commit}.json").read_bytes())["files"]
        assert set(listed) == set(files_below(folder / "snapshots" / repository.commit))


def catalog(repositories: list[Repository], wheel: Path) -> dict[str, Any]:
    document = catalog_of(repositories, wheel)
    for model, repository in zip(document["models"], repositories, strict=False):
        model["huggingface"]["files"] = [name for name in repository.files if not name.startswith("onnx/")]
    return document
