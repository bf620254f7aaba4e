"""Reading the lock beside a catalog, and the position of a mistake in it."""

import json
from pathlib import Path

import pytest

from model_cache.catalog.lock import LockedFile, load_lock, parse_lock
from model_cache.errors import CacheUnreadable, LockInvalid
from model_cache.reasons import Reason


def lock_text(**file: object) -> bytes:
    facts = {"bytes": 5, "sha256": "a" * 64, "git_sha1": None, **file}
    model = {"source": "o/n", "revision": "r", "whole_repository_bytes": 9, "files": {"a.json": facts}}
    return json.dumps({"apiVersion": "qda/v1", "kind": "CatalogLock", "models": {"m": model}}).encode()


def test_a_lock_is_found_beside_the_catalog_by_its_stem(tmp_path: Path) -> None:
    (tmp_path / "demo.lock.json").write_bytes(lock_text())
    lock = load_lock(tmp_path / "demo.yaml")
    assert lock is not None
    assert lock.models["m"].files == {"a.json": LockedFile(5, "a" * 64, None)}
    assert lock.models["m"].whole_repository_bytes == 9
    assert lock.models["m"].whole_repository_bytes_about is None


def test_a_catalog_without_a_lock_has_none(tmp_path: Path) -> None:
    assert load_lock(tmp_path / "demo.yaml") is None


def test_an_unreadable_lock_does_not_count_as_missing(tmp_path: Path) -> None:
    (tmp_path / "demo.lock.json").mkdir()
    with pytest.raises(CacheUnreadable) as caught:
        load_lock(tmp_path / "demo.yaml")
    assert caught.value.reason is Reason.NO_PERMISSION


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[]", "the document: found \\[\\]; allowed: an object"),
        (b"{}", "is not a CatalogLock"),
        (lock_text(bytes="5"), r"models\.m\.files\['a\.json'\]\.bytes: found \"5\""),
        (lock_text(bytes=-1), "a number of bytes, or null"),
        (lock_text(bytes=True), "a number of bytes, or null"),
        (lock_text(sha256="A" * 64), "64 lower-case hex digits"),
        (lock_text(git_sha1="a" * 64), "40 lower-case hex digits"),
        (lock_text().replace(b"a.json", b"../a"), "leads out of its folder"),
        (lock_text().replace(b'"source": "o/n"', b'"source": 5'), r"models\.m\.source: found 5"),
    ],
)
def test_a_mistake_is_reported_with_its_position(content: bytes, message: str) -> None:
    with pytest.raises(LockInvalid, match=message) as caught:
        parse_lock(content, "demo.lock.json")
    assert caught.value.reason is Reason.CATALOG_INVALID
    assert caught.value.message.startswith("demo.lock.json")
