"""Train the small models once and store them in a folder that is named by a digest of their inputs.

The digest covers the code, the word lists and the libraries' versions. The folder is renamed to its name when all four
models are trained. The next run deletes what an interrupted one left.
"""

import ast
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

from tests.support.small_models.catalog import write_catalog
from tests.support.small_models.recipes import RECIPES, SEED, Recipe
from tests.support.small_models.small_models import SCORES, SmallModels, read_small_models

ROOT: Final = Path(__file__).parents[3]
DEFAULT_OUT: Final = ROOT / "build" / "small-models"

_HERE: Final = Path(__file__).parent
_UNFINISHED: Final = ".unfinished-"
_LIBRARIES: Final = (
    "torch",
    "transformers",
    "tokenizers",
    "sentencepiece",
    "safetensors",
    "spacy",
    "thinc",
    "numpy",
)
_NOT_IN_KEY: Final = frozenset(
    {"__init__.py", "__main__.py", "build.py", "small_models.py", "real_minilm.py"}
)
_PROCESSES: Final = 2
_ENVIRONMENT: Final = {
    "CUDA_VISIBLE_DEVICES": "",  # the same results with and without a GPU
    "HF_HUB_OFFLINE": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}

Progress = Callable[[str], None]


class BuildFailed(Exception):
    """A model could not be trained; the message has the end of the process's stderr."""


def small_models(
    out: Path = DEFAULT_OUT,
    progress: Progress | None = None,
    *,
    build: Callable[[Path, Progress], None] | None = None,
) -> SmallModels:
    """Return the models below `out`; train them first if they do not exist.

    Several processes may call this at once: one trains, the others wait for it.

    Args:
        out: folder in which the models are stored.
        progress: called with lines about the progress.
        build: writes all models into a folder; None: train them.

    Raises:
        BuildFailed: a model could not be trained.
    """
    folder = out / build_key()
    if folder.is_dir():
        return read_small_models(folder)
    out.mkdir(parents=True, exist_ok=True)
    with _lock(out / ".lock"):
        if not folder.is_dir():
            for stale in out.glob(f"{_UNFINISHED}*"):
                shutil.rmtree(stale)
            unfinished = out / f"{_UNFINISHED}{os.getpid()}"
            (build or _build)(unfinished, progress or _ignore)
            unfinished.rename(folder)
    return read_small_models(folder)


def _ignore(line: str) -> None:
    """Discard a line of progress."""


def build_key() -> str:
    """Return 16 hex digits of the digest of everything that determines the models' bytes."""
    digest = hashlib.sha256(f"{platform.machine()} {platform.python_version()} {SEED}".encode())
    for library in _LIBRARIES:
        digest.update(f"{library}=={version(library)}\n".encode())
    sources = (path for path in sorted(_HERE.rglob("*")) if path.suffix in (".py", ".yaml"))
    cleaning = ROOT / "src" / "qda_worker" / "models" / "sentiment.py"  # cleans the training texts
    for path in (*sources, cleaning):
        if path.name not in _NOT_IN_KEY:
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + _content_without_comments(path))
    return digest.hexdigest()[:16]


def _content_without_comments(path: Path) -> bytes:
    """Return a file's content; of code without comments and docstrings, which do not affect the models."""
    if path.suffix != ".py":
        return path.read_bytes()
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not _is_docstring(each)] or [ast.Pass()]  # type: ignore[attr-defined]  # nodes that have a body
    return ast.unparse(tree).encode()


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _build(folder: Path, progress: Progress) -> None:
    (folder / "scores").mkdir(parents=True)
    began = time.perf_counter()
    with ThreadPoolExecutor(_PROCESSES) as executor:
        try:
            results = dict(executor.map(lambda recipe: _train(recipe, folder, progress), RECIPES))
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)  # do not start the remaining ones
            raise
    shutil.rmtree(folder / "scores")
    write_catalog(folder)
    scores = {
        "seconds": round(time.perf_counter() - began, 1),
        "models": {key: results[key] for key in sorted(results)},
    }
    (folder / SCORES).write_text(json.dumps(scores, indent=2) + "\n", "utf-8")


def _train(recipe: Recipe, folder: Path, progress: Progress) -> tuple[str, dict[str, float]]:
    progress(f"{recipe.key}: training")
    began = time.perf_counter()
    scores = folder / "scores" / f"{recipe.module}.json"
    target = folder / "hub" / recipe.folder
    path = os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", f"{__package__}.recipes", recipe.module, str(target), str(scores)],
        cwd=ROOT,
        env={**os.environ, **_ENVIRONMENT, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BuildFailed(f"training {recipe.key} ended with {done.returncode}: {done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(scores.read_text("utf-8"))
    seconds = time.perf_counter() - began
    progress(f"{recipe.key}: {recipe.score.replace('_', ' ')} {result[recipe.score]:.3f} ({seconds:.0f} s)")
    return recipe.key, {**result, "seconds": round(seconds, 1)}


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
