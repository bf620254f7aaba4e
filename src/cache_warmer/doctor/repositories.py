"""Hub repositories in the cache: refs that name no snapshot, links that lead nowhere, downloads that did not end.

Only names and links are read, never the content of a model. Folders that this user may not read are findings of
their own.
"""

import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from cache_warmer.doctor.diagnosis import Finding, Severity
from cache_warmer.transfer.journal import STAGING_SUFFIX
from model_cache.check.permissions import current_user, permission_remedy
from model_cache.file_io import read_small_file
from model_cache.formatting import count_of, human_bytes
from model_cache.layout import PACKAGES, REPOSITORY_PREFIX, former_cache, repository_name
from model_cache.places import Places
from model_cache.reasons import Reason

# In seconds. What is younger may belong to a download that runs.
RECENT_SECONDS: Final = 3600.0
# In bytes. A ref has 40.
_MAX_REF_BYTES: Final = 4096


def check_repositories(places: Places, now: float, warm: str) -> Iterator[Finding]:
    """Yield the findings about repositories, and about the links of packages and of former layouts.

    Args:
        places: the places of the cache.
        now: seconds since the epoch.
        warm: the command that fills this cache, for remedies.
    """
    closed: list[str] = []
    repositories = [
        path
        for path in _list(places.hub.path, closed)
        if path.name.startswith(REPOSITORY_PREFIX) and os.path.isdir(path)
    ]
    for folder in repositories:
        yield from _check_refs(folder, warm, closed)
        yield from _check_links(folder, warm, closed)
    blobs = [folder / "blobs" for folder in (*repositories, places.hub.path)]
    yield from _check_staging([*blobs, places.spacy.path / PACKAGES], now, warm, closed)
    spacy, former = places.spacy.path, former_cache(places)
    yield from _check_plain_links(spacy, _list(spacy, closed), "spaCy packages", warm, closed)
    yield from _check_plain_links(former, files_below(former, closed), "sentence-transformers", warm, closed)
    yield from _closed_findings(closed)


def files_below(folder: Path, closed: list[str]) -> Iterator[Path]:
    """Yield files and links below a folder, without following links; folders that cannot be read go to `closed`."""

    def note(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            closed.append(str(error.filename or folder))

    for parent, folders, names in os.walk(folder, onerror=note):
        yield from (Path(parent, name) for name in names)
        yield from (path for name in folders if os.path.islink(path := Path(parent, name)))


def _list(folder: Path, closed: list[str]) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return []
    except OSError:
        closed.append(str(folder))
        return []


def _check_refs(folder: Path, warm: str, closed: list[str]) -> Iterator[Finding]:
    """Yield a finding for each ref that names no snapshot. Calls without a revision follow `refs/main`."""
    refs, snapshots = folder / "refs", folder / "snapshots"
    present = [path.name for path in _list(snapshots, closed)]
    for path in files_below(refs, closed):
        name = path.relative_to(refs).as_posix()
        try:
            content = read_small_file(path, _MAX_REF_BYTES).decode("utf-8", "replace")
        except PermissionError:
            closed.append(str(path))
            continue
        except OSError as error:
            problem = f"cannot be read ({error.strerror})"
        else:
            if content in present:
                continue
            if content.strip() in present:
                problem = "has more than the commit in it, such as a line break"
            else:
                problem = f"names {content.strip()[:40]!r}, of which there is no snapshot"
        is_main = name == "main"
        there = f" ({', '.join(commit[:12] for commit in present[:3])} is there)" if present else ""
        calls = "without a revision" if is_main else f'with revision="{name[:60]}"'
        yield Finding(
            Severity.ERROR if is_main and present else Severity.WARNING,
            "ref",
            Reason.CACHE_INCOMPLETE,
            f'{path} {problem}{there}: offline calls of "{repository_name(folder.name)}" {calls} fail',
            _ref_remedy(folder, path, warm, is_main=is_main),
        )


def _ref_remedy(folder: Path, path: Path, warm: str, *, is_main: bool) -> str:
    if not is_main:
        return f"fetch that revision again, or delete {shlex.quote(str(path))}"
    return f"fetch it online: `{_download(folder)}`, or `{warm}` if it is a model of the catalog"


def _download(folder: Path, commit: str = "") -> str:
    """Return the command of the hub client that fetches a repository into the cache that holds its folder."""
    revision = ["--revision", commit] if commit else []
    return shlex.join(
        ["hf", "download", repository_name(folder.name), *revision, "--cache-dir", str(folder.parent)]
    )


def _check_links(folder: Path, warm: str, closed: list[str]) -> Iterator[Finding]:
    """Yield a finding if links of a snapshot lead nowhere: a blob was deleted, or is closed to this user."""
    links = [path for path in files_below(folder / "snapshots", closed) if os.path.islink(path)]
    broken = [path for path in links if not _is_there(path, closed)]
    if broken:
        yield Finding(
            Severity.ERROR,
            "broken-snapshot",
            Reason.CACHE_INCOMPLETE,
            f"{len(broken)} of {len(links)} links below {folder / 'snapshots'} lead to files that are not there: "
            f'"{repository_name(folder.name)}" does not load offline',
            f"fetch it again: `{_download(folder, broken[0].relative_to(folder / 'snapshots').parts[0])}`, or `{warm}` "
            "if it is a model of the catalog, or delete the folder",
            tuple(map(str, broken)),
        )


def _check_plain_links(
    folder: Path, paths: Iterable[Path], owner: str, warm: str, closed: list[str]
) -> Iterator[Finding]:
    broken = [path for path in paths if os.path.islink(path) and not _is_there(path, closed)]
    if broken:
        yield Finding(
            Severity.WARNING,
            "broken-link",
            Reason.CACHE_INCOMPLETE,
            f"{folder} has {count_of(len(broken), 'link')} to nothing ({owner})",
            f"run `{warm}` if they are models of the catalog, or delete the links",
            tuple(map(str, broken)),
        )


def _is_there(link: Path, closed: list[str]) -> bool:
    """Return whether a link leads to something; one that is closed to this user counts, and is noted."""
    try:
        link.stat()
    except PermissionError:
        closed.append(os.path.realpath(link))
    except (OSError, RuntimeError):  # a circle of links
        return False
    return True


def _check_staging(folders: list[Path], now: float, warm: str, closed: list[str]) -> Iterator[Finding]:
    """Yield the findings about downloads that did not end: old ones, and ones that may be running."""
    found: list[tuple[Path, int, float]] = []
    for folder in folders:
        for path in files_below(folder, closed):
            if STAGING_SUFFIX in (
                path.suffix,
                *(parent.suffix for parent in path.relative_to(folder).parents),
            ):
                try:
                    status = path.lstat()
                except OSError:  # it ended meanwhile
                    continue
                found.append(
                    (
                        path,
                        status.st_blocks * 512 if hasattr(status, "st_blocks") else status.st_size,
                        now - status.st_mtime,
                    )
                )
    old, recent = _split(found, lambda one: one[2] > RECENT_SECONDS)
    if old:
        yield Finding(
            Severity.WARNING,
            "unfinished-download",
            Reason.CACHE_INCOMPLETE,
            f"{count_of(len(old), 'download')} did not end, {human_bytes(_bytes(old))} in all: the last was written to "
            f"{_age(min(one[2] for one in old))} ago, the first {_age(max(one[2] for one in old))} ago",
            f"run `{warm}`, which continues its own, then delete the others",
            tuple(str(one[0]) for one in old),
            _bytes(old),
        )
    if recent:
        yield Finding(
            Severity.NOTE,
            "unfinished-download",
            Reason.OK,
            f"{count_of(len(recent), 'download')} written in the last hour ({human_bytes(_bytes(recent))}): running, "
            "or interrupted",
            "",
            tuple(str(one[0]) for one in recent),
        )


def _closed_findings(closed: list[str]) -> Iterator[Finding]:
    paths = tuple(dict.fromkeys(closed))
    if paths:
        yield Finding(
            Severity.WARNING,
            "closed",
            Reason.NO_PERMISSION,
            f"this user cannot read {count_of(len(paths), 'path')} of the caches, which were not examined",
            permission_remedy(Path(paths[0]), current_user(), write=False),
            paths,
        )


_Staged = tuple[Path, int, float]


def _split(found: list[_Staged], is_old: Callable[[_Staged], bool]) -> tuple[list[_Staged], list[_Staged]]:
    return [one for one in found if is_old(one)], [one for one in found if not is_old(one)]


def _bytes(found: list[_Staged]) -> int:
    return sum(one[1] for one in found)


def _age(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} seconds"
