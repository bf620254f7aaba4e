"""The warmer as a program, a hub with injected faults, and two catalogs: a former and a wanted generation."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from tests.service.warmer.fixtures import write_files, write_wheel
from tests.support.fake_hub import FakeHub, Repository

# Size of the big file in bytes: several ranges, and still fast.
BIG: Final = 24_000_000
WEIGHTS: Final = "model.safetensors"
SOURCE: Final = Path(__file__).parents[2] / "src"


@dataclass(frozen=True)
class RunResult:
    """Exit code and output of a run."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        return dict(json.loads(self.out))

    @property
    def reason(self) -> str:
        return str(self.document["reason"])


@dataclass
class Workspace:
    """A hub, catalogs and a cache."""

    folder: Path
    hub: FakeHub
    cache: Path
    wheel: Path
    newer_wheel: Path
    first: Repository
    second: Repository
    environ: dict[str, str] = field(default_factory=dict)
    children: list[subprocess.Popen[str]] = field(default_factory=list)

    def catalog(self, name: str, models: list[dict[str, Any]]) -> Path:
        """Write a catalog of these models."""
        path = self.folder / f"{name}.yaml"
        path.write_text(
            yaml.safe_dump({"apiVersion": "qda/v1", "kind": "Catalog", "models": models}), "utf-8"
        )
        return path

    def former(self) -> Path:
        """Write a catalog of a small repository and an older package."""
        return self.catalog("former", [entry("two", "embedding", self.second), package("three", self.wheel)])

    def wanted(self) -> Path:
        """Write a catalog of the big file, the small repository and the newer package."""
        models = [
            entry("one", "sentiment", self.first),
            entry("two", "embedding", self.second),
            package("three", self.newer_wheel),
        ]
        return self.catalog("wanted", models)

    def start(self, catalog: Path, *more: str, command: str = "warm") -> subprocess.Popen[str]:
        """Start the warmer."""
        arguments = [
            sys.executable, "-m", "cache_warmer", command, "--catalog", str(catalog), "--cache", str(self.cache),
            "--hub", self.hub.url, "--wheel-base", f"{self.hub.url}/wheels", "--format", "json", *more,
        ]  # fmt: skip
        environ = {**os.environ, "PYTHONPATH": str(SOURCE), **self.environ}
        child = subprocess.Popen(
            arguments, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.children.append(child)
        return child

    def close(self) -> None:
        """Kill the processes that a failed test left running."""
        for child in self.children:
            child.kill()
            for pipe in (child.stdout, child.stderr):
                if pipe is not None:
                    pipe.close()
            child.wait()

    def run(self, catalog: Path, *more: str, command: str = "warm") -> RunResult:
        """Run the warmer and wait for its end."""
        return result_of(self.start(catalog, *more, command=command))

    def is_whole(self, catalog: Path) -> bool:
        """Return whether `cache-check --deep` finds the catalog complete."""
        command = [sys.executable, "-m", "model_cache.check.cli", "--deep", "--format", "json"]
        command += ["--catalog", str(catalog), "--cache", str(self.cache)]
        environ = {**os.environ, "PYTHONPATH": str(SOURCE)}
        checked = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert "Traceback" not in checked.stderr, checked.stderr
        return checked.returncode == 0


def build(folder: Path, cache: Path) -> Workspace:
    """Write the files of the hub, and return a hub that serves them."""
    hub = folder / "hub"
    hub.mkdir(parents=True)
    big = {"config.json": b'{"a": 1}', "vocab/words.txt": b"ein\nzwei\n", WEIGHTS: random_bytes(BIG, 1)}
    small = {
        "config.json": b'{"b": 2}',
        "copy.json": b'{"b": 2}',
        "pytorch_model.bin": random_bytes(300_000, 2),
    }
    first = Repository("org/first", write_files(hub / "first", big))
    second = Repository("org/second", write_files(hub / "second", small))
    older, newer = (write_wheel(hub, "de_tiny", version) for version in ("1.0.0", "1.1.0"))
    fake_hub = FakeHub([first, second], [older, newer])
    return Workspace(folder, fake_hub, cache, older, newer, first, second)


def entry(key: str, task: str, repository: Repository, files: list[str] | None = None) -> dict[str, Any]:
    """Return a catalog's entry for these files of a repository; None: all."""
    source = {
        "repository": repository.id,
        "revision": repository.commit,
        "files": files or sorted(repository.files),
    }
    return {"key": key, "task": task, "huggingface": source}


def package(key: str, wheel: Path) -> dict[str, Any]:
    """Return a catalog's entry for a wheel."""
    name, version = wheel.name.split("-")[:2]
    source = {
        "package": name,
        "version": version,
        "url": f"https://wheels.invalid/{wheel.name}",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
    }
    return {"key": key, "task": "entities", "spacy": source}


def random_bytes(size: int, seed: int) -> bytes:
    """Return bytes that do not compress."""
    return random.Random(seed).randbytes(size)


def result_of(child: subprocess.Popen[str], *, seconds: float = 120.0) -> RunResult:
    """Wait for a run. Fails on a traceback: no fault of hub, volume or user may end in one."""
    try:
        out, err = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGABRT)
        out, err = child.communicate()
        raise AssertionError(f"the warmer did not end: {out}\n{err}") from None
    assert "Traceback" not in err, err
    return RunResult(child.returncode, out, err)


@contextmanager
def suspended(child: subprocess.Popen[str]) -> Iterator[None]:
    """Suspend a process while the block changes its volume."""
    child.send_signal(signal.SIGSTOP)
    yield
    child.send_signal(signal.SIGCONT)


def wait_until(true: Callable[[], bool], child: subprocess.Popen[str]) -> None:
    """Wait until the condition holds. Fails if the process ends first."""
    for _ in range(6000):
        if true():
            return
        assert child.poll() is None, child.communicate()
        time.sleep(0.01)
    raise AssertionError("the condition was not met in time")


def files_of(contents: Mapping[str, bytes], folder: Path) -> dict[str, Path]:
    """Write contents whose names a file system may refuse, each under a number; return the files by name."""
    folder.mkdir(parents=True)
    paths = {}
    for number, (name, content) in enumerate(contents.items()):
        paths[name] = folder / str(number)
        paths[name].write_bytes(content)
    return paths
