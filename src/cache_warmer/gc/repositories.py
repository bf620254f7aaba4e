"""One hub repository that a catalog of ours brought: which of its files, blobs and names nobody needs.

`look_at_repository` reads the disk into a value, `judge` decides over it. A commit that others use stays whole: one
that has a file which no catalog of ours brought, to which a name leads that is not ours, or (on a host) which another
program listed.
"""

import os
import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_warmer.gc.plan import Findings, Going, Held, Kind, NameMove

# Names that stand for a moment: no file of anybody's.
_PASSING: Final = re.compile(r"\..*\.tmp|.*\.incomplete")


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or link of a snapshot: the name of the blob it leads to (empty: it is a file), and what it takes."""

    blob: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Blob:
    """A blob: what deleting it frees, and when it was written (seconds since the epoch)."""

    bytes: int
    written: float


@dataclass(frozen=True, slots=True)
class Repository:
    """What is in a repository's folder.

    Attributes:
        folder: of the repository.
        entries: files and links by their path below `snapshots`: `<commit>/<path>`.
        blobs: by name, those that are still growing left out.
        references: commits by the name in `refs`.
        listed: commits with a list in `trees`.
    """

    folder: Path
    entries: Mapping[str, Entry]
    blobs: Mapping[str, Blob]
    references: Mapping[str, str]
    listed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is known of a repository's files.

    Attributes:
        known, kept: paths below `snapshots` that catalogs of ours brought, and those that one still needs.
        main: the commit that `refs/main` shall name if its own goes; None: none is kept.
        ours: commits that we let `refs/main` name; None: all of them (a cache of our own).
        old: blobs that nothing leads to go if they were written before that time; None: they stay (a host).
    """

    known: frozenset[str]
    kept: frozenset[str]
    main: str | None
    ours: frozenset[str] | None
    old: float | None


def look_at_repository(folder: Path) -> Repository:
    """Read a repository's folder; one whose parts are links leads elsewhere, and is not ours. Raises `OSError`."""
    snapshots, blobs = folder / "snapshots", folder / "blobs"
    if any(path.is_symlink() for path in (folder, snapshots, blobs, folder / "refs", folder / "trees")):
        return Repository(folder, {}, {}, {}, frozenset())
    entries = {
        path.relative_to(snapshots).as_posix(): _entry(path, os.path.realpath(blobs))
        for path in _files_below(snapshots)
    }
    kept = [path for path in _listed(blobs) if not _PASSING.fullmatch(path.name)]
    references = {
        path.relative_to(folder / "refs").as_posix(): path.read_text("utf-8", "replace").strip()
        for path in _files_below(folder / "refs")
    }
    return Repository(
        folder,
        entries,
        {path.name: Blob(freed_bytes(path), path.lstat().st_mtime) for path in kept if not path.is_dir()},
        references,
        frozenset(path.stem for path in _listed(folder / "trees") if path.suffix == ".json"),
    )


def judge(there: Repository, wishes: Wishes) -> Findings:
    """Return what goes of a repository."""
    unwanted = {path for path in wishes.known - wishes.kept if path in there.entries}
    held = dict(_held(there, wishes, {_commit(path) for path in unwanted}))
    going = {path for path in unwanted if _commit(path) not in held}
    staying = {path: entry for path, entry in there.entries.items() if path not in going}
    needed = {_commit(path) for path in (*wishes.kept, *staying)}
    gone = {_commit(path) for path in wishes.known} - needed - set(held)
    blobs = _blobs(there, wishes, going, {entry.blob for entry in staying.values()})
    snapshots = there.folder / "snapshots"
    things = [
        *(
            Going(Kind.BLOB, there.folder / "blobs" / name, there.blobs[name].bytes, why)
            for name, why in blobs
        ),
        *(
            Going(Kind.FILE, snapshots / path, there.entries[path].bytes, "no kept generation lists it")
            for path in sorted(going)
        ),
        *(
            Going(Kind.LIST, there.folder / "trees" / f"{commit}.json", 0, "its commit goes")
            for commit in sorted(gone & there.listed)
            if wishes.ours is None
        ),
    ]
    return Findings(
        tuple(_moves(there, wishes, gone)),
        tuple(things),
        tuple(_folders(there, going, gone)),
        tuple(Held(snapshots / commit, why) for commit, why in sorted(held.items())),
    )


def _held(there: Repository, wishes: Wishes, commits: Collection[str]) -> Iterator[tuple[str, str]]:
    for commit in commits:
        foreign = [path for path in there.entries if _commit(path) == commit and path not in wishes.known]
        named = [
            name
            for name, named in there.references.items()
            if named == commit and not _ours(name, commit, wishes)
        ]
        if foreign:
            yield commit, f"another program keeps {Path(min(foreign)).name} there"
        elif named:
            yield commit, f"refs/{min(named)} leads to it, which is not ours"
        elif wishes.ours is not None and commit in there.listed:
            yield commit, "another program fetched it, too"


def _ours(name: str, commit: str, wishes: Wishes) -> bool:
    return name == "main" and (wishes.ours is None or commit in wishes.ours)


def _blobs(
    there: Repository, wishes: Wishes, going: Collection[str], used: Collection[str]
) -> Iterator[tuple[str, str]]:
    led_to = {there.entries[path].blob for path in going}
    for name, blob in sorted(there.blobs.items()):
        if name in used:
            continue
        if name in led_to:
            yield name, "no kept generation lists it"
        elif wishes.old is not None and blob.written < wishes.old:
            yield name, "nothing leads to it"


def _moves(there: Repository, wishes: Wishes, gone: Collection[str]) -> Iterator[NameMove]:
    main = there.references.get("main")
    if main in gone and main is not None and _ours("main", main, wishes):
        yield NameMove(there.folder / "refs" / "main", wishes.main)


def _folders(there: Repository, going: Collection[str], gone: Collection[str]) -> list[Path]:
    """The folders that may be empty afterwards, inner ones first."""
    snapshots = there.folder / "snapshots"
    inner = {
        parent
        for path in going
        for parent in (snapshots / path).parents
        if parent != snapshots and parent.is_relative_to(snapshots)
    } | {snapshots / commit for commit in gone}
    outer = [snapshots, *(there.folder / name for name in ("blobs", "refs", "trees")), there.folder]
    return [*sorted(inner, key=lambda path: -len(path.parts)), *outer] if going or gone else []


def freed_bytes(path: Path) -> int:
    """Return what deleting a file frees: nothing for a link, or for one that has another name, too."""
    state = path.lstat()
    return state.st_size if stat.S_ISREG(state.st_mode) and state.st_nlink == 1 else 0


def _commit(path: str) -> str:
    return path.partition("/")[0]


def _entry(path: Path, blobs: str) -> Entry:
    try:
        target = os.path.normpath(os.path.join(path.parent, os.readlink(path)))
    except OSError:
        return Entry("", freed_bytes(path))
    inside = os.path.realpath(os.path.dirname(target)) == blobs
    return Entry(os.path.basename(target) if inside else "", 0)


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _files_below(folder: Path) -> Iterator[Path]:
    for path in _listed(folder):
        if _PASSING.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files_below(path)
        else:
            yield path
