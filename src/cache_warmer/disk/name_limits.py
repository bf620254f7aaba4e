"""Limits of a file system for the names of a cache: case, and on Windows reserved names and the length of paths.

None shows before it is too late. Where case does not count (macOS, Windows, exFAT) the second of two files whose
names differ in case alone replaces the first, and a check calls the first one damaged. Windows without long paths
refuses a path of 260 characters with "not found", and writes `a:b` into a stream of the file `a`. So the preflight
compares the names before the first byte.

Nothing is written for that: whether case counts shows by looking a folder up under its own name in the other case.
"""

import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from cache_warmer.disk.volume import nearest_folder
from cache_warmer.errors import VolumeUnsuitable
from model_cache.places import PlaceName, Places
from model_cache.safe_names import case_collision
from model_cache.windows_paths import MAX_PATH_CHARACTERS, excess_characters, unusable_part

# Where Windows stores whether programs may use long paths.
_LONG_PATHS_KEY: Final = r"SYSTEM\CurrentControlSet\Control\FileSystem"
LONG_PATHS_REMEDY: Final = (
    "let an administrator switch long paths on (LongPathsEnabled, see docs/windows.md), or choose a folder with a "
    r"shorter path, as --cache C:\models"
)


def ignores_case(folder: Path) -> bool:
    """Return whether the file system of a folder, which need not exist, takes names in another case for the same."""
    existing = nearest_folder(folder)
    for path in (existing, *existing.parents):
        other = path.with_name(path.name.swapcase()) if path.name else path
        if other.name != path.name:
            try:
                return os.path.samefile(path, other)
            except OSError:
                return False
    return False


def long_paths_enabled() -> bool:
    """Return whether this system stores paths of 260 characters and more; on Windows that is a setting."""
    if sys.platform != "win32":
        return True
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, _LONG_PATHS_KEY) as key:
            return bool(winreg.QueryValueEx(key, "LongPathsEnabled")[0])
    except OSError:  # Windows before 10, 1607
        return False


def require_storable(
    files: Iterable[tuple[PlaceName, str]],
    places: Places,
    *,
    folds_case: Callable[[Path], bool] = ignores_case,
    has_long_paths: Callable[[], bool] = long_paths_enabled,
    platform: str = sys.platform,
) -> None:
    """Raise unless each of the files can have its own name.

    Args:
        files: files that will be written: their place, and their path in it.
        places: the places of the cache.
        folds_case: returns whether the file system of a folder ignores case.
        has_long_paths: returns whether paths may have 260 characters and more.
        platform: as `sys.platform`.

    Raises:
        VolumeUnsuitable: Windows does not store a name, two names differ in case alone where case does not count, or a
            path is too long.
    """
    paths: dict[PlaceName, list[str]] = defaultdict(list)
    for name, path in files:
        paths[name].append(path)
    for name, in_place in paths.items():
        folder = places.of(name).path
        if platform == "win32":
            _require_names(folder, in_place)
        _require_case(folder, in_place, folds_case)
        _require_length(folder, in_place, has_long_paths)


def _require_names(folder: Path, paths: Iterable[str]) -> None:
    for path in paths:
        if reason := unusable_part(path.split("/")):
            raise VolumeUnsuitable(
                f"{folder} cannot hold {path!r}, which {reason}",
                "use a Linux system for this model (WSL on Windows), or leave that file out of the catalog",
            )


def _require_case(folder: Path, paths: Iterable[str], folds_case: Callable[[Path], bool]) -> None:
    collision = case_collision(paths)
    if collision is not None and folds_case(folder):
        raise VolumeUnsuitable(
            f"{folder} has one file for names that differ in case alone: {collision[0]} and {collision[1]}",
            "choose a volume whose names are case-sensitive, or leave one of the two out of the catalog",
        )


def _require_length(folder: Path, paths: Iterable[str], has_long_paths: Callable[[], bool]) -> None:
    if has_long_paths():
        return
    too_long = [path for path in paths if excess_characters(str(folder), path)]
    if too_long:
        longest = max(too_long, key=len)
        excess = excess_characters(str(folder), longest)
        raise VolumeUnsuitable(
            f"{folder}: {longest} has a path that is {excess} characters too long for Windows without long paths "
            f"({MAX_PATH_CHARACTERS}, with a temporary name)",
            LONG_PATHS_REMEDY,
        )
