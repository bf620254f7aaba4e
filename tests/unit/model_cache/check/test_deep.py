"""The deep check: hashes, progress, and files that change while they are read."""

import hashlib
import os
from pathlib import Path

import pytest

from model_cache.check.check import check
from model_cache.check.deep import BUFFER_BYTES, verify_hashes
from model_cache.check.files import CheckedFile, Remedies
from model_cache.check.types import Tier
from model_cache.manifest import FileRecord
from model_cache.places import PlaceName
from model_cache.reasons import Reason
from tests.support.cache_trees import MODELS, CacheTree, build_cache


@pytest.fixture
def tree(tmp_path: Path) -> CacheTree:
    return build_cache(tmp_path / "cache")


def found(path: Path, size: int, sha256: str = "0" * 64) -> CheckedFile:
    return CheckedFile(FileRecord(PlaceName.HUB, path.name, size, sha256), str(path), str(path))


def test_a_complete_cache_passes_the_deep_check(tree: CacheTree) -> None:
    report = check(MODELS, tree.places, Tier.DEEP)
    assert (report.reason, report.tier, report.files) == (Reason.OK, Tier.DEEP, 7)


def test_one_flipped_byte_is_found_by_the_deep_check_only(tree: CacheTree) -> None:
    blob = tree.blob("model.safetensors")
    content = bytearray(blob.read_bytes())
    content[3000] ^= 1
    blob.write_bytes(content)

    assert check(MODELS, tree.places).reason is Reason.OK
    report = check(MODELS, tree.places, Tier.DEEP)

    assert report.reason is Reason.CACHE_CORRUPT
    (problem,) = report.models[0].problems
    assert problem.file == str(tree.snapshot_file("model.safetensors"))
    assert "sha256" in problem.detail
    assert problem.remedy == "run `cache-warmer repair`"
    assert report.files == 6
    assert report.models[1].reason is Reason.OK


def test_a_file_that_disappears_before_it_is_read_is_missing(tmp_path: Path) -> None:
    gone = found(tmp_path / "gone", 3)
    assert verify_hashes([gone], Remedies())[gone].reason is Reason.CACHE_INCOMPLETE


def test_a_file_that_shrinks_before_it_is_read_is_corrupt(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"ab")
    file = found(tmp_path / "file", 3)
    problem = verify_hashes([file], Remedies())[file]
    assert problem.reason is Reason.CACHE_CORRUPT
    assert "had 2 bytes" in problem.detail


def test_a_file_that_cannot_be_read_is_no_permission(tmp_path: Path) -> None:
    folder = found(tmp_path, 3)  # reading a folder fails as reading a bad disk does: in the middle
    assert verify_hashes([folder], Remedies())[folder].reason is Reason.NO_PERMISSION


def test_progress_reaches_the_total_and_shared_files_are_read_once(tmp_path: Path) -> None:
    size = 2 * BUFFER_BYTES + 10
    (tmp_path / "file").write_bytes(os.urandom(size))
    (tmp_path / "other").write_bytes(b"x" * 5)
    seen: list[tuple[int, int]] = []

    files = [found(tmp_path / "file", size), found(tmp_path / "file", size, "1" * 64)]
    problems = verify_hashes(
        [*files, found(tmp_path / "other", 5)], Remedies(), lambda done, total: seen.append((done, total))
    )

    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (size + 5, size + 5)
    assert set(files) <= set(problems)


def test_a_closed_stderr_is_not_a_problem_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 5)

    def gone(_done: int, _total: int) -> None:
        raise BrokenPipeError

    file = found(tmp_path / "file", 5, hashlib.sha256(b"xxxxx").hexdigest())
    assert verify_hashes([file], Remedies(), gone) == {}


def test_an_exception_of_the_progress_callback_ends_the_check(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 5)

    def stop(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify_hashes([found(tmp_path / "file", 5)], Remedies(), stop)
