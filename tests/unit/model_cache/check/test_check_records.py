"""A record that has the right digest and lists other files is corrupt, and so is one that the lock refutes."""

from pathlib import Path
from typing import Final

import pytest

from model_cache.catalog.catalog import generation
from model_cache.catalog.lock import Lock, LockedFile, LockedModel
from model_cache.check.check import check
from model_cache.check.types import Tier
from model_cache.manifest import Manifest, ModelRecord, dump_manifest, dump_model_record, parse_manifest
from model_cache.reasons import Reason
from tests.support.cache_trees import ENTITIES, MODELS, SENTIMENT, CacheTree, build_cache

COMMIT: Final = "a" * 40


@pytest.fixture
def tree(tmp_path: Path) -> CacheTree:
    return build_cache(tmp_path / "cache")


def records_of(tree: CacheTree) -> tuple[ModelRecord, ModelRecord]:
    mood, names = parse_manifest(tree.manifest.read_bytes()).models
    return mood, names


@pytest.mark.parametrize("tier", [Tier.FAST, Tier.DEEP])
def test_a_manifest_that_lists_the_files_of_another_model_is_corrupt(tree: CacheTree, tier: Tier) -> None:
    mood, names = records_of(tree)
    liar = mood._replace(files=names.files)
    tree.manifest.write_bytes(dump_manifest(Manifest(generation(MODELS), (liar, names))))

    report = check(MODELS, tree.places, tier)

    assert report.reason is Reason.CACHE_CORRUPT
    (problem,) = report.problems
    assert problem.file == str(tree.manifest)
    assert "no file of mood" in problem.detail
    assert problem.remedy == "run `cache-warmer repair`"


@pytest.mark.parametrize("left_out", [0, 1, 2])
def test_a_record_without_a_file_of_the_catalog_is_corrupt(tree: CacheTree, left_out: int) -> None:
    mood, _ = records_of(tree)
    files = tuple(file for number, file in enumerate(mood.files) if number != left_out)
    tree.record(SENTIMENT).write_bytes(dump_model_record(mood._replace(files=files)))

    report = check([SENTIMENT], tree.places, whole_catalog=False)

    assert report.reason is Reason.CACHE_CORRUPT
    assert "lists no file for" in report.models[0].problems[0].detail


@pytest.mark.parametrize("locked", [LockedFile(9, None, None), LockedFile(None, "9" * 64, None)])
def test_a_record_that_the_lock_refutes_is_corrupt(tree: CacheTree, locked: LockedFile) -> None:
    lock = Lock({"mood": LockedModel("org/mood", COMMIT, {"config.json": locked})})

    for whole in (True, False):
        report = check(MODELS, tree.places, whole_catalog=whole, lock=lock)
        assert report.reason is Reason.CACHE_CORRUPT
    assert check([ENTITIES], tree.places, whole_catalog=False, lock=lock).reason is Reason.OK


def test_the_deep_check_compares_the_git_sha1_of_the_lock(tree: CacheTree) -> None:
    def lock_with(git_sha1: str) -> Lock:
        return Lock(
            {"mood": LockedModel("org/mood", COMMIT, {"config.json": LockedFile(None, None, git_sha1)})}
        )

    # printf '{"x": 1}' | git hash-object --stdin
    right = "3fafbf7251e2c961284595b81bf4d2031eb07003"
    assert check(MODELS, tree.places, Tier.FAST, lock=lock_with("9" * 40)).reason is Reason.OK
    report = check(MODELS, tree.places, Tier.DEEP, lock=lock_with("9" * 40))
    assert report.reason is Reason.CACHE_CORRUPT
    assert "where the lock has 9999" in report.models[0].problems[0].detail
    assert check(MODELS, tree.places, Tier.DEEP, lock=lock_with(right)).reason is Reason.OK
