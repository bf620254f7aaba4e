"""Other projects find a warmed cache: plain scripts, without our packages and without configuration."""

import json
import os
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.service.host.homes import plain
from tests.support.fake_hub import FakeHub, repositories_below
from tests.support.small_models import small_models

TOKENS: Final = "qda-demo/german-sentiment-bert"
TRANSFORMERS: Final = """
from transformers import AutoModelForSequenceClassification, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForSequenceClassification.from_pretrained(sys.argv[1])
answer = model(**tokenizer("Das war sehr gut.", return_tensors="pt"))
print(answer.logits.shape[-1])
"""
SNAPSHOT: Final = """
from huggingface_hub import snapshot_download
print(snapshot_download(sys.argv[1], local_files_only=True))
"""
SENTENCES: Final = """
from sentence_transformers import SentenceTransformer
for name in sys.argv[1:]:
    print(SentenceTransformer(name).encode(["Ein Satz."]).shape[0])
"""
OLDER: Final = """
import os
from sentence_transformers import SentenceTransformer
folder = os.path.expanduser("~/.cache/torch/sentence_transformers")
print(SentenceTransformer(sys.argv[1], cache_folder=folder).encode(["Ein Satz."]).shape[0])
"""
SPACY: Final = """
import importlib.util, spacy
assert importlib.util.find_spec("model_cache") is None
nlp = spacy.load("de_demo_news_sm")
print(nlp.meta["version"], importlib.util.find_spec("de_demo_news_sm").origin)
"""


class Warmed:
    """A home that the program warmed, and the fake hub it used."""

    def __init__(self, path: Path, catalog: Path, hub: FakeHub) -> None:
        self.path, self.hub, self._catalog = path, hub, catalog

    def program(self, *arguments: str) -> str:
        """Run `cache-warmer` or `cache-check` in this home; return its stdout."""
        environ = {**os.environ, "HOME": str(self.path), "HF_ENDPOINT": self.hub.url}
        environ |= {"QDA_WHEEL_BASE": f"{self.hub.url}/wheels", "QDA_CATALOG": str(self._catalog)}
        command = [sys.executable, "-m", *arguments]
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def project(self, program: str, *arguments: str, python: str = "", offline: bool = True) -> str:
        """Run another project's script in this home."""
        where = {"HF_HUB_OFFLINE": "1"} if offline else {"HF_ENDPOINT": self.hub.url}
        return plain(program, {"HOME": str(self.path), **where}, self.path, *arguments, python=python)


@pytest.fixture(scope="module")
def warmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warmed]:
    models = small_models()
    wheels = list((models.hub / "wheels").glob("*.whl"))
    with FakeHub(list(repositories_below(models.hub)), wheels) as hub:
        home = Warmed(tmp_path_factory.mktemp("home"), models.catalog, hub)
        home.program("cache_warmer", "warm", "--quiet")
        yield home


def test_transformers_finds_a_model_by_its_name(warmed: Warmed) -> None:
    assert warmed.project(TRANSFORMERS, TOKENS) == "3\n"


def test_transformers_online_fetches_no_weights_again(warmed: Warmed) -> None:
    warmed.hub.log.clear()

    assert warmed.project(TRANSFORMERS, TOKENS, offline=False) == "3\n"

    assert warmed.hub.log.requests(), "it sent requests"
    assert not warmed.hub.log.requests("*model.safetensors", method="GET")


def test_the_hub_client_finds_the_snapshot(warmed: Warmed) -> None:
    path = Path(warmed.project(SNAPSHOT, TOKENS).strip())
    assert (path / "model.safetensors").is_file()
    assert path.is_relative_to(warmed.path / ".cache/huggingface/hub")


def test_sentence_transformers_finds_both_models_by_their_names(warmed: Warmed) -> None:
    names = ["qda-demo/multilingual-embedding", "qda-demo/multilingual-paraphrase"]
    assert warmed.project(SENTENCES, *names).split() == ["1", "1"]


def test_older_sentence_transformers_finds_them_in_torchs_folder(warmed: Warmed) -> None:
    assert warmed.project(OLDER, "qda-demo/multilingual-paraphrase") == "1\n"


@pytest.fixture(scope="module")
def spacy_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a virtual environment with spaCy and without our packages; a path file adds those of this environment."""
    folder = tmp_path_factory.mktemp("project") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_spacy_finds_a_package_after_the_command_of_env(warmed: Warmed, spacy_only: Path) -> None:
    line = warmed.program("cache_warmer", "env").splitlines()[-1]
    assert line.startswith("python -c ")
    assert len(shlex.split(line)) == 3
    path = f"{spacy_only}/bin:{os.environ['PATH']}"
    subprocess.run(["sh", "-c", line], env={"PATH": path, "HOME": str(warmed.path)}, check=True)

    version, origin = warmed.project(SPACY, python=f"{spacy_only}/bin/python").split()

    assert version == "3.8.0"
    assert Path(origin) == warmed.path / ".local/share/spacy/de_demo_news_sm/__init__.py"


def test_a_shell_can_evaluate_the_output_of_env(warmed: Warmed, spacy_only: Path) -> None:
    text = warmed.program("cache_warmer", "env")
    environ = {"PATH": f"{spacy_only}/bin:{os.environ['PATH']}", "HOME": str(warmed.path)}
    subprocess.run(["sh", "-eu", "-c", 'eval "$TEXT"'], env={**environ, "TEXT": text}, check=True)
    (file,) = spacy_only.glob("lib/python*/site-packages/qda-spacy-models.pth")
    assert file.read_text() == f"{warmed.path}/.local/share/spacy\n"


def test_the_commands_in_the_docs_list_the_same_as_paths(warmed: Warmed) -> None:
    """Compare the `find` and `ls` commands of docs/host.md with `cache-check --paths`."""
    listed = {
        Path(line.split()[1]) for line in warmed.program("model_cache.check.cli", "--paths").splitlines()
    }
    docs = (Path(__file__).parents[3] / "docs/host.md").read_text()
    block = docs.split("<!-- by hand -->")[1].split("```")[1].removeprefix("sh\n")
    finds = [line for line in block.splitlines() if line.startswith("find ")]
    shown = subprocess.run(
        ["sh", "-eu", "-c", "\n".join(finds)],
        env={"PATH": os.environ["PATH"], "HOME": str(warmed.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert {Path(line) for line in shown.splitlines()} == listed
    assert len(listed) == 4
    everything = subprocess.run(
        ["sh", "-eu", "-c", block], env={"PATH": os.environ["PATH"], "HOME": str(warmed.path)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    document = json.loads(warmed.program("model_cache.check.cli", "--format", "json"))
    for model in document["models"]:
        assert model["path"] in everything
