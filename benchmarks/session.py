"""What the tables of one run share: models, texts, and the sides that run.

In the quick run sides stay up from one table to the next, because starting them takes as long as measuring them. In the
full run each table has its own.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import yaml

from benchmarks.conditions import ROOT, available_memory
from benchmarks.environments import NotMeasured
from benchmarks.real_size import EMBEDDING, PARAPHRASE, SENTIMENT, create_real_size_cache, make_texts
from benchmarks.results import Role, Side
from benchmarks.sides import (
    BARE,
    Contestant,
    InfinitySide,
    LibrarySide,
    WorkerSide,
    bare_form_command,
    library_command,
    task_of,
)
from qda_worker.cpu import cpu_budget
from tests.service.worker.fixtures import CacheFixture

FOLDER: Final = ROOT / "build" / "benchmarks"
# Memory of a side, in bytes: weights in fp32, tokenizer and libraries.
_SIDE_BYTES: Final[Mapping[str, int]] = {SENTIMENT: 1 << 30, PARAPHRASE: 5 << 29, EMBEDDING: 4 << 30}
_DEFAULT_BYTES: Final = 1 << 29
# What a machine needs besides the sides.
_RESERVE_BYTES: Final = 1 << 30
# Precisions that need a prepared form.
REDUCED: Final = ("bf16", "int8")
# Engines of the bare forward pass in the quick run, one for each model; the full run has both.
QUICK_BARE: Final[Mapping[str, tuple[str, ...]]] = {SENTIMENT: ("bare",), PARAPHRASE: ("bare-openvino",)}
# Names of the peers in the tables.
LABELS: Final = {
    "transformers": "transformers",
    "sentence-transformers": "sentence-transformers",
    "onnx": "sentence-transformers, ONNX",
    "openvino": "sentence-transformers, OpenVINO",
    "infinity": "Infinity",
    "flagembedding": "FlagEmbedding",
    "spacy": "spaCy",
    "bare": "bare torch",
    "bare-openvino": "bare OpenVINO",
    "bare-form-auto": "bare, same form",
    "bare-form-torch": "bare torch, same form",
    "bare-form-openvino": "bare OpenVINO, same form",
}

T = TypeVar("T")
# A side that runs, or one that is not measured and says why.
Turn: TypeAlias = Contestant | Side
# Name and role of a side, and what starts it.
Start: TypeAlias = tuple[str, Role, Callable[[], Contestant]]


class Session:
    """Starts sides when a table asks for them, and stops them.

    Attributes:
        quick: whether tables measure a part of what they can.
        threads: compute threads of every side.
    """

    def __init__(self, stack: ExitStack, *, quick: bool) -> None:
        """Prepare the folders.

        Args:
            stack: removes the temporary files and stops the sides.
            quick: whether tables measure a part of what they can.
        """
        self.quick = quick
        self.threads = cpu_budget(os.environ).threads
        self.temporary = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        self._sides = stack.enter_context(ExitStack())
        self._started: dict[tuple[str, ...], Any] = {}
        self._writing = threading.RLock()  # several sides may start at once

    @property
    def repetitions(self) -> int:
        """How often the sides take turns."""
        return 3 if self.quick else 7

    @property
    def cache(self) -> CacheFixture:
        """The cache with the models of real size; it is written when it is first needed."""
        with self._writing:
            return create_real_size_cache(FOLDER / "models")

    def close_sides(self) -> None:
        """Stop all sides."""
        self._started.clear()
        self._sides.close()

    def worker(self, key: str, precision: str = "fp32", engine: str = "auto") -> WorkerSide:
        """Return a worker with one model, which is started unless it runs.

        Args:
            key: of the model.
            precision: of the model.
            engine: for `--engine`; auto leaves the option away.

        Raises:
            NotMeasured: it cannot serve the model so.
        """
        options = ["--threads", str(self.threads)] + ["--engine", engine] * (engine != "auto")
        name = "worker" if engine == "auto" else f"worker, {engine} only"

        def start() -> WorkerSide:
            cache = self._cache_of(key, precision)
            return WorkerSide(self._sides, self.temporary, cache, key, *options, name=name)

        return self._side(("worker", key, precision, engine), start)

    def library(self, kind: str, key: str, precision: str = "fp32") -> Contestant:
        """Return a library, or the bare forward pass, which is started unless it runs.

        Raises:
            NotMeasured: it cannot be installed or cannot load the model.
        """

        def start() -> LibrarySide:
            prepared = FOLDER / "prepared" / f"{kind}-{key}{f'-{precision}' * (precision == 'int8')}"
            command = library_command(
                kind, self._peer_model(key), key, threads=self.threads, prepared=prepared, precision=precision
            )
            role = Role.BASELINE if kind in BARE else Role.PEER
            log = prepared.with_name(f"{prepared.name}.log")
            return LibrarySide(self._sides, command, log, role=role, label=LABELS[kind])

        return self._side((kind, key, precision), start)

    def bare_form(self, key: str, precision: str, engine: str) -> Contestant:
        """Return the forward pass of a prepared form with an engine, which is started unless it runs.

        Raises:
            NotMeasured: there is no such form, or it cannot be computed so.
        """

        def start() -> LibrarySide:
            cache = self._cache_of(key, precision)
            log = FOLDER / "prepared" / f"bare-form-{key}-{precision}-{engine}.log"
            command = bare_form_command(cache, key, engine, self.threads)
            return LibrarySide(
                self._sides, command, log, role=Role.BASELINE, label=LABELS[f"bare-form-{engine}"]
            )

        return self._side(("bare-form", key, precision, engine), start)

    def infinity(self, key: str) -> InfinitySide:
        """Return Infinity with one model, which is started unless it runs.

        Raises:
            NotMeasured: it cannot be installed or cannot load the model.
        """

        def start() -> InfinitySide:
            return InfinitySide(self._sides, self._peer_model(key), key, self.threads, FOLDER / "prepared")

        return self._side(("infinity", key), start)

    def peer(self, kind: str, key: str, precision: str = "fp32") -> Contestant:
        """Return a peer or the bare forward pass by its kind.

        Raises:
            NotMeasured: it cannot be installed or cannot load the model.
        """
        return self.infinity(key) if kind == "infinity" else self.library(kind, key, precision)

    def _side(self, name: tuple[str, ...], start: Callable[[], T]) -> T:
        """Return a side that runs, or start it if there is memory for it."""
        if name not in self._started:
            needed = _SIDE_BYTES.get(name[1], _DEFAULT_BYTES) + _RESERVE_BYTES
            if available_memory() < needed:
                raise NotMeasured(f"less than {needed / 2**30:.1f} GiB of memory were available")
            print(f"  starting {' '.join(name)}", file=sys.stderr, flush=True)
            self._started[name] = start()
        side: T = self._started[name]
        return side

    def _peer_model(self, key: str) -> Path:
        """Return the folder of a model in the form that older libraries read too.

        Tokenizers are saved by transformers 5 with a class that transformers 4 does not have.
        """
        source = self.cache.path(key)
        if task_of(key) == "entities":
            return source
        folder = FOLDER / "prepared" / key
        with self._writing:
            if not folder.exists():
                partial = folder.with_name(f"{key}.partial")
                shutil.rmtree(partial, ignore_errors=True)
                shutil.copytree(source, partial, copy_function=os.symlink)
                _write_old_tokenizer_class(partial / "tokenizer_config.json")
                partial.rename(folder)
        return folder

    def _cache_of(self, key: str, precision: str) -> CacheFixture:
        """Return the cache with a catalog in which a model has a precision, with the prepared form that it needs.

        Raises:
            NotMeasured: the form cannot be made, or this is the quick run, which has no time for it.
        """
        if precision == "fp32":
            return self.cache
        if not (FOLDER / "variants" / f"{key}-{precision}" / "complete").exists() and self.quick:
            raise NotMeasured(f"no prepared form in {precision}; `make bench-full` makes one")
        return self.cache_with_form(key, precision)

    def cache_with_form(self, key: str, precision: str) -> CacheFixture:
        """Return a cache with one model and its prepared form, which is made unless it is there.

        Raises:
            NotMeasured: the form cannot be made.
        """
        folder = FOLDER / "variants" / f"{key}-{precision}"
        variant = CacheFixture(folder)
        with self._writing:
            if not (folder / "complete").exists():
                folder.mkdir(parents=True, exist_ok=True)
                catalog = yaml.safe_load(self.cache.catalog_file.read_text("utf-8"))
                catalog["models"] = [model for model in catalog["models"] if model["key"] == key]
                catalog["models"][0].setdefault("serving", {})["precision"] = precision
                variant.catalog_file.write_text(yaml.safe_dump(catalog, sort_keys=False), "utf-8")
                if not variant.cache.is_symlink():
                    variant.cache.symlink_to(self.cache.cache)
                variant.publish()
                _prepare(variant, key, precision, self.temporary, self.threads)
                (folder / "complete").touch()
        return variant


def compare(
    sides: Sequence[Turn], repetitions: int, measure: Callable[[Contestant, int], T]
) -> dict[str, list[T]]:
    """Let sides take turns, and return what was measured by the names of the sides.

    Args:
        sides: those that run; others are left out.
        repetitions: rounds.
        measure: measures a side in a round.
    """
    turns = [side for side in sides if not isinstance(side, Side)]
    found: dict[str, list[T]] = {side.name: [] for side in turns}
    for number in range(repetitions):
        first = number % max(1, len(turns))
        for side in turns[first:] + turns[:first]:
            found[side.name].append(measure(side, number))
    return found


def attempt(name: str, role: Role, start: Callable[..., T], *arguments: str) -> T | Side:
    """Start a side, or return a side without values that says why there is none."""
    try:
        return start(*arguments)
    except NotMeasured as error:
        print(f"  {name} is not measured: {error}", file=sys.stderr)
        return Side(name, role, (), f"not measured: {error}")


def workers_by_engine(session: Session, key: str, precision: str) -> list[Start]:
    """Return how workers with each engine alone are started."""
    return [
        (f"worker, {engine} only", Role.OURS, partial(session.worker, key, precision, engine))
        for engine in ("torch", "openvino")
    ]


def attempt_all(starts: Sequence[Start]) -> list[Turn]:
    """Start sides, as many at a time as there are CPUs, because each loads its model in one thread; see `attempt`."""
    with ThreadPoolExecutor(max(2, cpu_budget(os.environ).threads)) as pool:
        return list(pool.map(lambda start: attempt(*start), starts))


def measured(sides: Sequence[Turn], values: Mapping[str, Sequence[float]]) -> tuple[Side, ...]:
    """Return the sides of a row."""
    return tuple(
        side if isinstance(side, Side) else Side(side.name, side.role, tuple(values[side.name]), side.note)
        for side in sides
    )


def texts_of(count: int, tokens: tuple[int, int], seed: int) -> list[str]:
    """Return texts; see `make_texts`. Another seed gives other texts, so that no side can repeat results."""
    return make_texts(count, tokens, seed)


def _prepare(cache: CacheFixture, key: str, precision: str, folder: Path, threads: int) -> None:
    """Make a prepared form and publish it in the cache.

    Raises:
        NotMeasured: one of the programs refuses.
    """
    form = folder / f"form-{key}-{precision}"
    common = ["--catalog", str(cache.catalog_file), "--cache", str(cache.cache)]
    wanted = ["--model", key, "--precision", precision, "--out", str(form), "--threads", str(threads)]
    for name, command in (
        ("benchmarks.ungated_forms", [sys.executable, "-m", "benchmarks.ungated_forms", *common, *wanted]),
        (
            "cache-warmer publish",
            [sys.executable, "-m", "cache_warmer", "publish", str(form), *common],
        ),
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
        if done.returncode:
            lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            raise NotMeasured(f"{name} ends with {done.returncode}: {(lines or ['no message'])[-1][:300]}")


def _write_old_tokenizer_class(path: Path) -> None:
    settings = json.loads(path.read_text("utf-8"))
    if settings.get("tokenizer_class") not in {"BertTokenizer", "BertTokenizerFast"}:
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.unlink()
    path.write_text(json.dumps(settings), "utf-8")
