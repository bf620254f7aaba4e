"""A home folder with global caches: run the plain libraries in it, and compare listings of it."""

import hashlib
import io
import json
import os
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from model_cache.catalog.parse import load_catalog
from model_cache.check.cli import cache_check
from model_cache.layout import model_path
from model_cache.places import Places, resolve_places
from tests.service.warmer.fixtures import Outcome, Workspace
from tests.support.explained import explained


class Entry(NamedTuple):
    """What other programs can see of a path: mode, modification time, and a link's target or a file's sha256."""

    mode: str
    mtime_ns: int | None
    content: str


def listing(folder: Path) -> dict[str, Entry]:
    """Return every path below a folder. Folders have no time here, because each new name in them changes it."""
    return {path.relative_to(folder).as_posix(): _entry(path) for path in sorted(folder.rglob("*"))}


def _entry(path: Path) -> Entry:
    state = path.lstat()
    mode = stat.filemode(state.st_mode)
    if path.is_symlink():
        return Entry(mode, state.st_mtime_ns, os.readlink(path))
    if path.is_dir():
        return Entry(mode, None, "folder")
    return Entry(mode, state.st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())


def plain(program: str, environ: dict[str, str], folder: Path, *arguments: str, python: str = "") -> str:
    """Run a script as another project does: no PYTHONPATH, another folder, and without importing our packages."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ours = "{name.partition('.')[0] for name in sys.modules} & {'model_cache', 'cache_warmer', 'qda_worker', 'qda'}"
    ended = subprocess.run(
        [
            python or sys.executable,
            "-W",
            "ignore",
            "-c",
            f"import sys\n{program}\nassert not {ours}",
            *arguments,
        ],
        cwd=folder,
        env={**inherited, "PYTHONDONTWRITEBYTECODE": "1", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@dataclass(frozen=True)
class Home:
    """A home folder, and the hub and catalog whose models are warmed into it."""

    path: Path
    workspace: Workspace

    @property
    def hub_cache(self) -> Path:
        return self.path / ".cache/huggingface/hub"

    @property
    def spacy(self) -> Path:
        return self.path / ".local/share/spacy"

    @property
    def places(self) -> Places:
        return resolve_places("host", self.workspace.environ, self.path)

    @property
    def catalog_options(self) -> list[str]:
        return ["--catalog", str(self.workspace.catalog)]

    def warm(self, *keys: str, **changes: Any) -> Outcome:
        return self.workspace.warm(*keys, cache="host", **changes)

    def folder_of(self, key: str) -> Path:
        """Return the folder from which a library loads a model."""
        return model_path(self.places, load_catalog(self.workspace.catalog).model(key))

    def check(self, *argv: str) -> tuple[int, dict[str, Any]]:
        """Run `cache-check --format json`; return its exit code and document."""
        out = io.StringIO()
        options = [*self.catalog_options, "--cache", "host", "--format", "json", *argv]
        code = cache_check(options, self.workspace.environ, out, io.StringIO())
        return code, explained(json.loads(out.getvalue()))

    def plain(self, program: str, *arguments: str, python: str = "", **environ: str) -> str:
        """Run another project's script in this home, with the fake hub as its hub."""
        at_home = {
            "HOME": str(self.path),
            "HF_ENDPOINT": self.workspace.endpoint,
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        return plain(program, {**at_home, **environ}, self.workspace.folder, *arguments, python=python)
