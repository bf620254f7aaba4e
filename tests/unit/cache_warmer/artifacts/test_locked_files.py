"""When the lock stands for the hub's list of a commit."""

from typing import Any, Final

import pytest

from cache_warmer.artifacts.locked_files import list_locked_files
from model_cache.catalog.catalog import HuggingFaceSource
from model_cache.catalog.lock import LockedFile, LockedModel

COMMIT: Final = "c" * 40
SMALL: Final = LockedFile(5, None, "1" * 40)
BIG: Final = LockedFile(50_000_000, "2" * 64, None)
EITHER: Final = LockedFile(500, "3" * 64, None)


def lock(files: dict[str, LockedFile], **more: Any) -> LockedModel:
    return LockedModel("org/a", COMMIT, files, **more)


def source(*files: str) -> HuggingFaceSource:
    return HuggingFaceSource("org/a", COMMIT, files)


@pytest.mark.parametrize(
    ("names", "files", "whole", "certain"),
    [
        (("a", "b"), {"a": SMALL, "b": BIG}, None, True),
        (("a", "b"), {"a": SMALL, "b": BIG, "unused": LockedFile(None, None, None)}, None, True),
        (("a",), {"a": EITHER}, None, False),
        (("a",), {"a": EITHER}, 12345, True),
        (("*",), {"a": SMALL, "b": BIG}, 12345, False),
        (("a[1]",), {"a[1]": SMALL}, None, True),
    ],
)
def test_a_lock_that_knows_every_file_lists_them(
    names: tuple[str, ...], files: dict[str, LockedFile], whole: int | None, certain: bool
) -> None:
    listed = list_locked_files(source(*names), lock(files, whole_repository_bytes=whole))

    assert listed is not None
    assert listed.is_certain is certain
    wanted = sorted(set(files) - {"unused"})
    assert [file.path for file in listed.files] == wanted
    for file in listed.files:
        known = files[file.path]
        assert file.bytes == known.bytes
        assert file.etag == (known.git_sha1 or known.sha256)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"a": SMALL},
        {"a": SMALL, "b": LockedFile(None, "2" * 64, None)},
        {"a": SMALL, "b": LockedFile(3, None, None)},
        {"a": SMALL, "b": LockedFile(None, None, None)},
    ],
)
def test_a_lock_that_lacks_something_lists_nothing(files: dict[str, LockedFile]) -> None:
    assert list_locked_files(source("a", "b"), lock(files)) is None
    assert list_locked_files(source("a", "b"), None) is None


def test_a_pattern_without_a_match_is_not_known() -> None:
    assert list_locked_files(source("a", "*.json"), lock({"a": SMALL})) is None
