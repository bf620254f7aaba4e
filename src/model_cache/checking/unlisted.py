"""Names what lies in a cache and no manifest lists: left-overs cost room, and code on other projects' path may run.

A cache of one folder is ours whole. On a host others keep repositories and packages in the same places, and fetch more
files of the same commits: there only our own trees of packages are looked at, and the modules that every Python would
run by itself.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from model_cache.errors import ManifestInvalid
from model_cache.manifest import ModelRecord, parse_manifest, parse_model_record
from model_cache.places import HOST, PlaceName, Places

_PACKAGES = ".packages"
_RUN_BY_ITSELF = ("sitecustomize.py", "usercustomize.py", "sitecustomize", "usercustomize")
"""Python imports these at every start from wherever they are on its path."""
_COMPILED = "__pycache__"


def unlisted(places: Places) -> tuple[str, ...]:
    """Return the full paths, sorted; a folder with nothing that is listed ends with ``/``. Reads only; never raises.

    Without a single record nothing is known, and nothing is named. While a warmer works, what it has just fetched is
    not listed yet.
    """
    listed = _listed(places)
    if not any(listed.values()):
        return ()
    found = [*_packages(places, listed[PlaceName.SPACY])]
    if places.label != HOST:
        found += _snapshots(places.hub.path, listed[PlaceName.HUB])
    return tuple(sorted(found))


def _listed(places: Places) -> dict[PlaceName, set[str]]:
    """Return the paths that any manifest or record lists, of this catalog or another, by place."""
    listed: dict[PlaceName, set[str]] = {name: set() for name in PlaceName}
    for record in _records(places.own.path):
        for file in record.files:
            listed[file.place].add(file.path)
    return listed


def _records(own: Path) -> Iterator[ModelRecord]:
    for entry in _entries(own / "manifests"):
        try:
            yield from parse_manifest(Path(entry.path).read_bytes()).models
        except (OSError, ManifestInvalid):
            continue
    for entry in _entries(own / "models"):
        try:
            yield parse_model_record(Path(entry.path).read_bytes())
        except (OSError, ManifestInvalid):
            continue


def _packages(places: Places, listed: set[str]) -> Iterator[str]:
    root, on_host = places.spacy.path, places.label == HOST
    trees = {path.split("/")[1] for path in listed if path.startswith(f"{_PACKAGES}/")}
    for entry in _entries(root / _PACKAGES):
        if entry.name in trees:
            yield from _files(root, f"{_PACKAGES}/{entry.name}", listed, compiled=not on_host)
        elif not entry.name.startswith("."):  # what is being unpacked, and our notes
            yield f"{entry.path}/"
    for entry in _entries(root):
        if entry.name in _RUN_BY_ITSELF or not (on_host or _is_ours(root, entry)):
            yield f"{entry.path}/" if entry.is_dir(follow_symlinks=False) else entry.path


def _is_ours(root: Path, entry: "os.DirEntry[str]") -> bool:
    """Whether a name on other projects' path is a link to a package of ours, or a copy where there are no links."""
    if entry.name == _PACKAGES:
        return True
    if entry.is_symlink():
        return _PACKAGES in Path(os.readlink(entry.path)).parts
    return os.path.exists(root / _PACKAGES / ".copies" / entry.name)


def _snapshots(root: Path, listed: set[str]) -> Iterator[str]:
    """Return the files of our commits that nothing lists, and the repositories of which nothing is."""
    commits = {"/".join(path.split("/")[:3]) for path in listed}
    repositories = {commit.split("/")[0] for commit in commits}
    for entry in _entries(root):
        if entry.name.startswith(("models--", "datasets--", "spaces--")) and entry.name not in repositories:
            yield f"{entry.path}/"
    for repository in repositories:
        for entry in _entries(root / repository / "snapshots"):
            commit = f"{repository}/snapshots/{entry.name}"
            if commit in commits:
                yield from _files(root, commit, listed, compiled=True)
            else:
                yield f"{entry.path}/"


def _files(root: Path, folder: str, listed: set[str], *, compiled: bool) -> Iterator[str]:
    for directory, folders, names in os.walk(root / folder):
        if not compiled and _COMPILED in folders:
            folders.remove(_COMPILED)  # of whoever imported the package
        below = os.path.relpath(directory, root).replace(os.sep, "/")
        links = [name for name in folders if os.path.islink(os.path.join(directory, name))]
        yield from (
            os.path.join(directory, name) for name in (*names, *links) if f"{below}/{name}" not in listed
        )


def _entries(folder: Path) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []
