"""Run `export` and `import` as a user does, and change the members of an archive."""

import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cache_warmer.cli import cache_warmer
from tests.service.warmer.fixtures import Outcome, Workspace

Members = list[tuple[tarfile.TarInfo, bytes]]


def cache_of(workspace: Workspace, name: str) -> Path:
    """Return the folder of another cache beside the first one."""
    return workspace.folder / name


def export(workspace: Workspace, target: Path, *more: str, cache: Path | None = None) -> dict[str, Any]:
    out = io.StringIO()
    arguments = [
        "export",
        "-o",
        str(target),
        "--catalog",
        str(workspace.catalog),
        "--format",
        "json",
        "--quiet",
    ]
    code = cache_warmer(
        [*arguments, "--cache", str(cache or workspace.cache), *more], workspace.environ, out, io.StringIO()
    )
    assert code == 0
    return dict(json.loads(out.getvalue()))


def import_(workspace: Workspace, archive: Path, cache: str | Path, *more: str) -> Outcome:
    out, err = io.StringIO(), io.StringIO()
    arguments = ["import", str(archive), "--catalog", str(workspace.catalog), "--format", "json", "--quiet"]
    code = cache_warmer([*arguments, "--cache", str(cache), *more], workspace.environ, out, err)
    return Outcome(code, json.loads(out.getvalue()), err.getvalue())


def change_members(
    archive: Path, change: Callable[[Members], Sequence[tuple[tarfile.TarInfo, bytes]]]
) -> Path:
    """Return a copy of the archive with changed members, written by the standard library."""
    with tarfile.open(archive) as old:
        members = [(one, old.extractfile(one).read()) for one in old.getmembers()]  # type: ignore[union-attr]  # files
    copy = archive.with_name("changed.tar")
    with tarfile.open(copy, "w", format=tarfile.PAX_FORMAT) as new:
        for info, body in change(members):
            if info.type == tarfile.REGTYPE:
                info.size = len(body)
            new.addfile(info, io.BytesIO(body))
    return copy


def everything_below(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return the inode and content of every file, by its path."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_ino, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }
