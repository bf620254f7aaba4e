"""Which files a snapshot has, and what they must be."""

from typing import Final

import pytest

from cache_warmer.artifacts.hf_snapshot import expected_content, select_files
from cache_warmer.errors import ContentMismatch, HubNotFound
from cache_warmer.hub.client import RemoteFile
from model_cache.catalog.lock import LockedFile

SMALL: Final = RemoteFile("config.json", 10, "1" * 40, None)
BIG: Final = RemoteFile("model.bin", 1000, "2" * 40, "3" * 64)
DEEP: Final = RemoteFile("sub/deep/a.json", 5, "4" * 40, None)
ODD: Final = RemoteFile("odd[1].json", 5, "5" * 40, None)


def names(*patterns: str) -> list[str]:
    return [file.path for file in select_files((SMALL, BIG, DEEP, ODD), patterns, "org/name")]


def test_names_and_patterns_select_files_once_and_in_order() -> None:
    assert names("model.bin", "*.json", "config.json") == [
        "config.json", "model.bin", "odd[1].json", "sub/deep/a.json",
    ]  # fmt: skip
    assert names("sub/*") == ["sub/deep/a.json"]


def test_a_name_with_brackets_is_a_name_before_it_is_a_pattern() -> None:
    assert names("odd[1].json") == ["odd[1].json"]


def test_a_pattern_that_selects_nothing_is_named() -> None:
    with pytest.raises(HubNotFound, match=r'"\*\.onnx"'):
        names("config.json", "*.onnx")


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a\x00b", "a//b", "x" * 300, "a\\b"])
def test_a_listed_name_that_is_no_safe_path_is_refused(path: str) -> None:
    with pytest.raises(ContentMismatch, match="which"):
        select_files((RemoteFile(path, 1, "1" * 40, None),), ("*",), "org/name")


def test_an_unsafe_name_that_is_not_selected_does_not_matter() -> None:
    assert select_files((SMALL, RemoteFile("../x", 1, "1" * 40, None)), ("config.json",), "org/name") == (
        SMALL,
    )


def test_without_a_lock_the_hub_defines_the_content() -> None:
    small, big = expected_content(SMALL, {}, "x"), expected_content(BIG, {}, "x")

    assert (small.bytes, small.sha256, small.git_sha1, small.source) == (10, None, "1" * 40, "hub")
    assert (big.bytes, big.sha256, big.git_sha1, big.source) == (1000, "3" * 64, None, "hub")


def test_a_lock_adds_what_the_hub_does_not_list() -> None:
    facts = expected_content(SMALL, {"config.json": LockedFile(None, "9" * 64, None)}, "x")

    assert (facts.bytes, facts.sha256, facts.git_sha1, facts.source) == (10, "9" * 64, "1" * 40, "lock")


def test_a_lock_without_values_changes_nothing() -> None:
    assert expected_content(SMALL, {"config.json": LockedFile(None, None, None)}, "x").source == "hub"


@pytest.mark.parametrize(
    ("file", "locked"),
    [
        (SMALL, LockedFile(11, None, None)),
        (SMALL, LockedFile(None, None, "9" * 40)),
        (BIG, LockedFile(None, "9" * 64, None)),
    ],
)
def test_a_lock_and_a_hub_that_contradict_each_other_stop_the_run(
    file: RemoteFile, locked: LockedFile
) -> None:
    with pytest.raises(ContentMismatch, match="the lock says"):
        expected_content(file, {file.path: locked}, "org/name")


def test_the_git_hash_of_a_pointer_is_not_that_of_the_content() -> None:
    assert expected_content(BIG, {"model.bin": LockedFile(1000, None, "9" * 40)}, "x").git_sha1 is None
