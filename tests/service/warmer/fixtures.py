"""What a run of the warmer needs: a fake hub with two repositories and a wheel, their catalog, and a cache."""

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from cache_warmer.cli import cache_warmer
from cache_warmer.commands.warm import warm_cache
from cache_warmer.hub.retry import Retry
from cache_warmer.settings import Settings
from model_cache.check.types import Tier
from model_cache.cli.options import LogLevel, OutputFormat, SharedOptions
from tests.support.explained import explained
from tests.support.fake_hub import FakeHub, Repository

QUICK: Final = Retry(attempts=3, first=0.01, max_delay=0.02, max_retry_after=2.0)
# Bytes of the big file: more than a chunk of the transfer, so that it can be cut in the middle.
BIG: Final = 3_000_000


@dataclass(frozen=True)
class Outcome:
    """The result of a run: exit code, JSON document, stderr."""

    code: int
    document: dict[str, Any]
    err: str

    @property
    def reason(self) -> str:
        return str(self.document["reason"])


@dataclass
class Workspace:
    """A fake hub, its catalog and a cache, which does not exist yet; `warm`, `repair` and `plan` run on them."""

    folder: Path
    hub: FakeHub
    repositories: Sequence[Repository]
    wheel: Path
    newer_wheel: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def catalog(self) -> Path:
        return self.folder / "catalog.yaml"

    @property
    def endpoint(self) -> str:
        return self.hub.url

    def warm(
        self,
        *keys: str,
        cache: str | None = None,
        endpoint: str | None = None,
        tier: Tier = Tier.FAST,
        **changes: Any,
    ) -> Outcome:
        """Run `warm` in this process with quick retries."""
        options = SharedOptions(
            self.catalog, cache or str(self.cache), keys, OutputFormat.JSON, LogLevel.WARNING
        )
        usual: dict[str, Any] = {
            "options": options,
            "endpoint": endpoint or self.endpoint,
            "wheel_base": f"{self.hub.url}/wheels",
            "stall_timeout": 5.0,
            "wait": 0.0,
            "retry": QUICK,
            "termination_log": self.folder / "termination-log",
        }
        settings = Settings(**{**usual, **changes})
        out, err = io.StringIO(), io.StringIO()
        code = warm_cache(settings, self.environ, out, err, tier=tier)
        return Outcome(code, explained(json.loads(out.getvalue())), err.getvalue())

    def repair(self, *keys: str, **changes: Any) -> Outcome:
        """Run `repair` in this process with quick retries."""
        return self.warm(*keys, tier=Tier.DEEP, **changes)

    def arguments(self, command: str, *more: str) -> list[str]:
        """Return the command line of a run as a program."""
        return [
            command, "--catalog", str(self.catalog), "--cache", str(self.cache), "--hub", self.endpoint,
            "--wheel-base", f"{self.hub.url}/wheels", "--format", "json", *more,
        ]  # fmt: skip

    def collect_arguments(self, form: str = "json") -> list[str]:
        """Return the command line of a collection as a program."""
        return ["collect", "--catalog", str(self.catalog), "--cache", str(self.cache), "--format", form]

    def plan(self, *more: str) -> Outcome:
        """Run `plan` in this process."""
        out, err = io.StringIO(), io.StringIO()
        code = cache_warmer(self.arguments("plan", *more), self.environ, out, err)
        return Outcome(code, explained(json.loads(out.getvalue())), err.getvalue())


def build_workspace(folder: Path, hub_folder: Path, big: int = BIG) -> Workspace:
    """Write the files of two repositories and a wheel to `hub_folder`, and their catalog to `folder`.

    `big` is the size in bytes of the big file.
    """
    small = {
        "config.json": b'{"a": 1}',
        "sub/deep/vocab.txt": b"ein\nzwei\n",
        "README.md": b"# not fetched\n",
    }
    first = {**small, "model.safetensors": _noise(big, 1), "onnx/model.onnx": _noise(5000, 2)}
    second = {"config.json": b'{"b": 2}', "copy.json": b'{"b": 2}', "pytorch_model.bin": _noise(70_000, 3)}
    repositories = [
        Repository("org/first", write_files(hub_folder / "first", first)),
        Repository("org/second", write_files(hub_folder / "second", second)),
    ]
    wheel = write_wheel(hub_folder, "de_tiny", "1.0.0")
    newer = write_wheel(hub_folder, "de_tiny", "1.1.0")
    workspace = Workspace(folder, FakeHub(repositories, [wheel, newer]), repositories, wheel, newer)
    workspace.catalog.write_text(yaml.safe_dump(catalog_of(repositories, wheel)), "utf-8")
    return workspace


def catalog_of(
    repositories: Sequence[Repository], wheel: Path | None, version: str = "1.0.0"
) -> dict[str, Any]:
    """Return a catalog of the wheel and of those files of the two repositories that a library loads."""
    first, second = repositories
    models = [
        _entry("one", "sentiment", first, ["config.json", "sub/*", "model.safetensors"]),
        _entry("two", "embedding", second, ["config.json", "copy.json", "pytorch_model.bin"]),
    ]
    if wheel is not None:
        spacy = {
            "package": "de_tiny",
            "version": version,
            "url": f"https://wheels.invalid/{wheel.name}",
            "sha256": hashlib.sha256(wheel.read_bytes()).hexdigest(),
        }
        models.append({"key": "three", "task": "entities", "spacy": spacy})
    return {"apiVersion": "qda/v1", "kind": "Catalog", "models": models}


def _entry(key: str, task: str, repository: Repository, files: list[str]) -> dict[str, Any]:
    source = {"repository": repository.id, "revision": repository.commit, "files": files}
    return {"key": key, "task": task, "huggingface": source}


def write_files(folder: Path, files: Mapping[str, bytes]) -> dict[str, Path]:
    """Write files; return their paths by name."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return {name: folder / name for name in files}


def write_wheel(
    folder: Path, package: str, version: str, files: Mapping[str, bytes] | None = None, **changes: Any
) -> Path:
    """Write a wheel with a valid RECORD. `changes`: `record` (other text for it), `extra` (unlisted members)."""
    inner = f"{package}/{package}-{version}"
    listed = {
        f"{package}/__init__.py": b"raise SystemExit('imported')\n",
        f"{package}/meta.json": json.dumps({"name": package, "version": version}).encode(),
        f"{inner}/config.cfg": b"[nlp]\n",
        f"{inner}/meta.json": json.dumps({"name": package, "version": version}).encode(),
        f"{inner}/vocab/vectors": _noise(30_000, 4),
        f"{package}-{version}.dist-info/METADATA": _metadata(package, version),
        f"{package}-{version}.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **(files or {}),
    }
    record = f"{package}-{version}.dist-info/RECORD"
    rows = [f"{name},sha256={_urlsafe(content)},{len(content)}" for name, content in listed.items()]
    text = changes.get("record") or "\n".join([*rows, f"{record},,", ""])
    wheel = folder / f"{package}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**listed, **changes.get("extra", {}), record: str(text).encode()}.items():
            archive.writestr(name, content)
    return wheel


def _metadata(package: str, version: str) -> bytes:
    return f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode()


def _urlsafe(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


def _noise(size: int, seed: int) -> bytes:
    block = hashlib.shake_256(bytes([seed])).digest(min(size, 1 << 16))
    return (block * (size // len(block) + 1))[:size]
