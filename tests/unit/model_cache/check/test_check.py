"""The fast check: what it accepts, and the reason of each kind of damage."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from model_cache.catalog.catalog import generation
from model_cache.check.check import check
from model_cache.check.files import Remedies, inspect
from model_cache.check.types import CheckReport, Problem, Tier
from model_cache.manifest import FileRecord, dump_manifest, parse_manifest
from model_cache.places import PlaceName, resolve_places
from model_cache.reasons import Reason
from tests.support.cache_trees import (
    ENTITIES,
    ENTITIES_FILES,
    MODELS,
    SENTIMENT,
    SENTIMENT_FILES,
    CacheTree,
    build_cache,
    record_of,
    write_records,
)


@pytest.fixture
def tree(tmp_path: Path) -> CacheTree:
    return build_cache(tmp_path / "cache")


def all_problems(report: CheckReport) -> list[Problem]:
    return [*report.problems, *(problem for model in report.models for problem in model.problems)]


def only_problem(report: CheckReport) -> Problem:
    problems = all_problems(report)
    assert len(problems) == 1
    return problems[0]


def listing(root: Path) -> list[tuple[str, int, int]]:
    return sorted(
        (str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in [root, *root.rglob("*")]
    )


def test_a_complete_cache_is_ok_and_its_files_are_counted(tree: CacheTree) -> None:
    report = check(MODELS, tree.places)

    assert report.reason is Reason.OK
    assert all_problems(report) == []
    assert report.generation == generation(MODELS)
    assert report.tier is Tier.FAST
    assert report.files == 7
    assert report.bytes == sum(map(len, [*SENTIMENT_FILES.values(), *ENTITIES_FILES.values()]))
    assert [(model.key, model.files, model.reason) for model in report.models] == [
        ("mood", 3, Reason.OK),
        ("names", 4, Reason.OK),
    ]
    assert (Path(report.models[1].path) / "config.cfg").is_file()


def test_seconds_are_measured_with_the_given_clock(tree: CacheTree) -> None:
    ticks = iter([10.0, 12.5])
    assert check(MODELS, tree.places, clock=lambda: next(ticks)).seconds == 2.5


@pytest.mark.parametrize("tier", [Tier.FAST, Tier.DEEP])
def test_a_check_writes_nothing(tree: CacheTree, tier: Tier) -> None:
    before = listing(tree.root)
    check(MODELS, tree.places, tier)
    assert listing(tree.root) == before


def cut_blob(tree: CacheTree) -> None:
    tree.blob("model.safetensors").write_bytes(b"weights")


def delete_blob(tree: CacheTree) -> None:
    tree.blob("model.safetensors").unlink()


def delete_all_blobs(tree: CacheTree) -> None:
    shutil.rmtree(tree.blob("config.json").parent)


def delete_link(tree: CacheTree) -> None:
    tree.snapshot_file("config.json").unlink()


def delete_snapshot_folder(tree: CacheTree) -> None:
    shutil.rmtree(tree.snapshot_file("config.json").parent)


def delete_spacy_file(tree: CacheTree) -> None:
    tree.spacy_file("ner/model").unlink()


def link_to(target: str) -> Callable[[CacheTree], None]:
    def damage(tree: CacheTree) -> None:
        link = tree.snapshot_file("config.json")
        link.unlink()
        link.symlink_to(target)

    return damage


def link_out_of_the_place_to_a_file_of_the_same_size(tree: CacheTree) -> None:
    outside = tree.root / "outside"
    outside.write_bytes(SENTIMENT_FILES["config.json"])
    link_to(str(outside))(tree)


def link_a_folder_out_of_the_place(tree: CacheTree) -> None:
    folder = tree.snapshot_file("config.json").parent
    outside = tree.root / "moved"
    shutil.copytree(folder, outside)
    shutil.rmtree(folder)
    folder.symlink_to(outside)


def link_in_a_circle(tree: CacheTree) -> None:
    link_to("other.json")(tree)
    tree.snapshot_file("other.json").symlink_to("config.json")


def folder_instead_of_a_file(tree: CacheTree) -> None:
    tree.spacy_file("meta.json").unlink()
    tree.spacy_file("meta.json").mkdir()


def pipe_instead_of_a_file(tree: CacheTree) -> None:
    tree.spacy_file("meta.json").unlink()
    os.mkfifo(tree.spacy_file("meta.json"))


def file_instead_of_a_folder(tree: CacheTree) -> None:
    shutil.rmtree(tree.spacy_file("ner"))
    tree.spacy_file("ner").write_bytes(b"")


@pytest.mark.parametrize(
    ("damage", "reason", "file", "detail"),
    [
        (cut_blob, Reason.CACHE_CORRUPT, "model.safetensors", "has 7 bytes where 7000 should be"),
        (delete_blob, Reason.CACHE_INCOMPLETE, "model.safetensors", "a link whose target is missing"),
        (delete_link, Reason.CACHE_INCOMPLETE, "config.json", "is missing"),
        (delete_spacy_file, Reason.CACHE_INCOMPLETE, "ner/model", "is missing"),
        (link_to("/etc/passwd"), Reason.CACHE_CORRUPT, "config.json", "leads out of the cache"),
        (link_to("../../../../../x"), Reason.CACHE_CORRUPT, "config.json", "leads out of the cache"),
        (link_to(".."), Reason.CACHE_CORRUPT, "config.json", "is a folder where a file should be"),
        (
            link_out_of_the_place_to_a_file_of_the_same_size,
            Reason.CACHE_CORRUPT,
            "config.json",
            "leads out of the cache",
        ),
        (link_in_a_circle, Reason.CACHE_CORRUPT, "config.json", "a link that leads in a circle"),
        (folder_instead_of_a_file, Reason.CACHE_CORRUPT, "meta.json", "is a folder"),
        (pipe_instead_of_a_file, Reason.CACHE_CORRUPT, "meta.json", "is no regular file"),
        (file_instead_of_a_folder, Reason.CACHE_CORRUPT, "ner/model", "cannot be reached"),
    ],
)
def test_each_damage_to_one_file_has_its_reason_and_a_remedy(
    tree: CacheTree, damage: Callable[[CacheTree], None], reason: Reason, file: str, detail: str
) -> None:
    damage(tree)

    for tier in (Tier.FAST, Tier.DEEP):
        report = check(MODELS, tree.places, tier, remedies=Remedies("warm it", "repair it"))
        problem = only_problem(report)
        assert report.reason is reason
        assert problem.reason is reason
        assert problem.file.endswith(file)
        assert detail in problem.detail
        assert ("repair it" if reason is Reason.CACHE_CORRUPT else "warm it") in problem.remedy
        assert report.files == 6


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (delete_all_blobs, Reason.CACHE_INCOMPLETE),
        (delete_snapshot_folder, Reason.CACHE_INCOMPLETE),
        (link_a_folder_out_of_the_place, Reason.CACHE_CORRUPT),
    ],
)
def test_damage_to_a_folder_is_reported_for_each_of_its_files(
    tree: CacheTree, damage: Callable[[CacheTree], None], reason: Reason
) -> None:
    damage(tree)
    report = check(MODELS, tree.places)
    assert report.reason is reason
    assert [len(model.problems) for model in report.models] == [3, 0]
    assert report.models[1].reason is Reason.OK


def test_corrupt_takes_precedence_over_incomplete(tree: CacheTree) -> None:
    delete_link(tree)
    folder_instead_of_a_file(tree)
    report = check(MODELS, tree.places)
    assert report.reason is Reason.CACHE_CORRUPT
    assert [model.reason for model in report.models] == [Reason.CACHE_INCOMPLETE, Reason.CACHE_CORRUPT]


def test_a_place_may_itself_be_a_link(tree: CacheTree) -> None:
    elsewhere = tree.root / "disk"
    tree.places.hub.path.rename(elsewhere)
    tree.places.hub.path.symlink_to(elsewhere)
    assert check(MODELS, tree.places).reason is Reason.OK


def test_a_blob_in_the_hub_clients_shared_store_is_accepted(tree: CacheTree) -> None:
    blob = tree.blob("config.json")
    shared = tree.places.hub.path / "blobs" / "ab" / "xet"
    shared.parent.mkdir(parents=True)
    blob.rename(shared)
    blob.symlink_to(os.path.relpath(shared, blob.parent))
    assert check(MODELS, tree.places).reason is Reason.OK


def test_without_a_manifest_models_are_checked_by_their_records(tree: CacheTree) -> None:
    tree.manifest.unlink()
    tree.record(ENTITIES).unlink()

    report = check(MODELS, tree.places)

    assert report.reason is Reason.CACHE_INCOMPLETE
    assert [model.reason for model in report.models] == [Reason.OK, Reason.CACHE_INCOMPLETE]
    assert report.problems[0].file == str(tree.manifest)
    assert "not fetched yet" in report.models[1].problems[0].detail


def test_selected_models_are_checked_by_their_records(tree: CacheTree) -> None:
    tree.manifest.unlink()
    tree.record(ENTITIES).unlink()

    whole = generation(MODELS)
    well = check([SENTIMENT], tree.places, whole_catalog=False, generation=whole)
    missing = check([ENTITIES], tree.places, whole_catalog=False, generation=whole)

    assert (well.reason, well.generation) == (Reason.OK, whole)
    assert missing.reason is Reason.CACHE_INCOMPLETE


def test_the_manifest_suffices_without_model_records(tree: CacheTree) -> None:
    shutil.rmtree(tree.record(SENTIMENT).parent)
    assert check(MODELS, tree.places).reason is Reason.OK


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def with_path(path: str) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        manifest = parse_manifest(content)
        bad = FileRecord(PlaceName.HUB, path, 1, "0" * 64)
        first = manifest.models[0]._replace(files=(bad,))
        return dump_manifest(manifest._replace(models=(first, *manifest.models[1:])))

    return change


def of_another_generation(content: bytes) -> bytes:
    return dump_manifest(parse_manifest(content)._replace(generation="0" * 64))


def of_fewer_models(content: bytes) -> bytes:
    manifest = parse_manifest(content)
    return dump_manifest(manifest._replace(models=manifest.models[:1]))


@pytest.mark.parametrize(
    "change",
    [
        half,
        lambda _: b"",
        lambda _: b"not json",
        lambda _: b"\xff\xfe\x00",
        lambda _: b"[]",
        lambda _: b"null",
        lambda _: b"{}",
        lambda _: b"[" * 100_000,
        lambda content: content.replace(b"qda/v1", b"qda/v9"),
        lambda content: content.replace(b'"bytes":8', b'"bytes":-8'),
        lambda content: content.replace(b'"bytes":8', b'"bytes":"8"'),
        lambda content: content.replace(b'"place":"spacy"', b'"place":"elsewhere"'),
        with_path("../../outside"),
        with_path("/etc/passwd"),
        with_path("a\x00b"),
        with_path(""),
        of_another_generation,
        of_fewer_models,
    ],
)
def test_a_manifest_that_cannot_be_trusted_is_corrupt(
    tree: CacheTree, change: Callable[[bytes], bytes]
) -> None:
    tree.manifest.write_bytes(change(tree.manifest.read_bytes()))

    report = check(MODELS, tree.places)

    assert report.reason is Reason.CACHE_CORRUPT
    assert [problem.file for problem in report.problems] == [str(tree.manifest)]
    assert report.problems[0].remedy == "run `cache-warmer repair`"


def test_a_record_of_another_model_is_corrupt(tree: CacheTree) -> None:
    shutil.copy(tree.record(SENTIMENT), tree.record(ENTITIES))
    report = check([ENTITIES], tree.places, whole_catalog=False)
    assert report.reason is Reason.CACHE_CORRUPT


def test_a_record_without_files_does_not_make_a_model_complete(tree: CacheTree) -> None:
    write_records(tree.places, MODELS, (record_of(SENTIMENT, []), record_of(ENTITIES, [])))
    assert check(MODELS, tree.places).reason is Reason.CACHE_CORRUPT


def test_a_folder_where_the_manifest_should_be_is_corrupt(tree: CacheTree) -> None:
    tree.manifest.unlink()
    tree.manifest.mkdir()
    assert check(MODELS, tree.places).reason is Reason.CACHE_CORRUPT


def test_a_pipe_where_the_manifest_should_be_is_corrupt_and_not_read(tree: CacheTree) -> None:
    tree.manifest.unlink()
    os.mkfifo(tree.manifest)
    report = check(MODELS, tree.places)
    assert report.reason is Reason.CACHE_CORRUPT
    assert report.problems[0].detail == "cannot be trusted: not a regular file"


def test_a_missing_cache_is_incomplete_and_the_remedy_is_to_warm(tmp_path: Path) -> None:
    places = resolve_places(str(tmp_path / "none"), {}, tmp_path)
    report = check(MODELS, places, remedies=Remedies("cache-warmer warm --cache none"))
    assert report.reason is Reason.CACHE_INCOMPLETE
    assert "does not exist" in report.problems[0].detail
    assert "cache-warmer warm --cache none" in report.problems[0].remedy


def test_a_file_where_the_cache_should_be_is_reported_as_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    report = check(MODELS, resolve_places(str(tmp_path / "file"), {}, tmp_path))
    assert report.reason is Reason.CACHE_INCOMPLETE
    assert "this is a file" in report.problems[0].detail


def test_a_circular_link_where_the_cache_should_be_is_reported(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    report = check(MODELS, resolve_places(str(tmp_path / "loop"), {}, tmp_path))
    assert report.reason is Reason.CACHE_INCOMPLETE
    assert "a link that leads to no folder" in report.problems[0].detail


def test_a_file_that_this_user_may_not_read_is_no_permission(tree: CacheTree) -> None:
    blob = str(tree.blob("config.json"))
    files = parse_manifest(tree.manifest.read_bytes()).models[0].files
    found, problems = inspect(files, tree.places, Remedies(), may_read=lambda path: path != blob)
    assert len(found) == 2
    assert [problem.reason for problem in problems] == [Reason.NO_PERMISSION]
    assert blob in problems[0].remedy
