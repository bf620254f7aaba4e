"""Makes the small models once and keeps them: under a folder named by what decides their bytes, complete or not at all.

The folder's name is a digest of the code, the words and the libraries' versions; it appears by rename when all four are
done, and what an interrupted run leaves is cleared away by the next.
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
_DECIDE_NOTHING: Final = frozenset(
    {"__init__.py", "__main__.py", "build.py", "small_models.py", "real_minilm.py"}
)
_LANES: Final = 2
_ENVIRONMENT: Final = {
    "CUDA_VISIBLE_DEVICES": "",  # the same numbers with and without an accelerator
    "HF_HUB_OFFLINE": "1",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}

Say = Callable[[str], None]


class BuildFailed(Exception):
    """A model could not be made; the message holds the end of what its process said."""


def small_models(
    out: Path = DEFAULT_OUT, say: Say | None = None, *, make: Callable[[Path, Say], None] | None = None
) -> SmallModels:
    """Return the models below `out`, made first if they are not there. Raises `BuildFailed`.

    Several processes may call this at once: one makes them, the others wait and find them. `make` writes all of them
    into a folder; without one they are trained.
    """
    folder = out / build_key()
    if folder.is_dir():
        return read_small_models(folder)
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out / ".lock"):
        if not folder.is_dir():
            for stale in out.glob(f"{_UNFINISHED}*"):
                shutil.rmtree(stale)
            unfinished = out / f"{_UNFINISHED}{os.getpid()}"
            (make or _build)(unfinished, say or _nothing)
            unfinished.rename(folder)
    return read_small_models(folder)


def _nothing(line: str) -> None:
    """Says nothing."""


def build_key() -> str:
    """16 hex digits of what decides the models' bytes."""
    digest = hashlib.sha256(f"{platform.machine()} {platform.python_version()} {SEED}".encode())
    for library in _LIBRARIES:
        digest.update(f"{library}=={version(library)}\n".encode())
    deciding = (path for path in sorted(_HERE.rglob("*")) if path.suffix in (".py", ".yaml"))
    cleaning = ROOT / "src" / "qda_worker" / "models" / "sentiment.py"  # cleans the texts of the training
    for path in (*deciding, cleaning):
        if path.name not in _DECIDE_NOTHING:
            digest.update(f"{path.relative_to(ROOT)}\0".encode() + _meaning(path))
    return digest.hexdigest()[:16]


def _meaning(path: Path) -> bytes:
    """Return a file's content; of code, without comments and docstrings, whose changes need no new models."""
    if path.suffix != ".py":
        return path.read_bytes()
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [each for each in body if not _is_docstring(each)] or [ast.Pass()]  # type: ignore[attr-defined]  # those with a body
    return ast.unparse(tree).encode()


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _build(folder: Path, say: Say) -> None:
    (folder / "scores").mkdir(parents=True)
    began = time.perf_counter()
    with ThreadPoolExecutor(_LANES) as lanes:
        try:
            results = dict(lanes.map(lambda recipe: _train(recipe, folder, say), RECIPES))
        except BaseException:
            lanes.shutdown(wait=False, cancel_futures=True)  # what has not begun need not
            raise
    shutil.rmtree(folder / "scores")
    write_catalog(folder)
    scores = {
        "seconds": round(time.perf_counter() - began, 1),
        "models": {key: results[key] for key in sorted(results)},
    }
    (folder / SCORES).write_text(json.dumps(scores, indent=2) + "\n", "utf-8")


def _train(recipe: Recipe, folder: Path, say: Say) -> tuple[str, dict[str, float]]:
    say(f"{recipe.key}: training")
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
        raise BuildFailed(f"making {recipe.key} ended with {done.returncode}: {done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(scores.read_text("utf-8"))
    seconds = time.perf_counter() - began
    say(f"{recipe.key}: {recipe.score.replace('_', ' ')} {result[recipe.score]:.3f} ({seconds:.0f} s)")
    return recipe.key, {**result, "seconds": round(seconds, 1)}


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
