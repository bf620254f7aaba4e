"""Which manifests and records fit a catalog and its lock, and which only carry the right label."""

from collections.abc import Callable
from typing import Final

import pytest

from model_cache.catalog.catalog import HuggingFaceSource, Model, SpacySource, Task, generation, model_digest
from model_cache.catalog.lock import Lock, LockedFile, LockedModel
from model_cache.manifest import FileRecord, Manifest, ModelRecord
from model_cache.places import PlaceName
from model_cache.record_rules import (
    contents_sha256,
    folder_mismatch,
    is_locked,
    locked_git_sha1s,
    manifest_mismatch,
    record_mismatch,
)

ONE: Final = Model(
    "one",
    Task.SENTIMENT,
    HuggingFaceSource("org/one", "a" * 40, ("config.json", "model.safetensors", "sub/*")),
)
TWO: Final = Model("two", Task.SENTIMENT, HuggingFaceSource("org/two", "b" * 40, ("config.json",)))
NAMES: Final = Model(
    "names",
    Task.ENTITIES,
    SpacySource("de_x", "1.0", "https://x.test/de_x-1.0-py3-none-any.whl", "c" * 64),
)
SNAPSHOT: Final = f"models--org--one/snapshots/{'a' * 40}"
TREE: Final = ".packages/de_x-1.0-cccccccc"
PACKAGE_FILES: Final = (
    "de_x/__init__.py",
    "de_x/de_x-1.0/config.cfg",
    "de_x/de_x-1.0/meta.json",
    "de_x-1.0.dist-info/RECORD",
)


def file_of(path: str, sha256: str = "0" * 64, place: PlaceName = PlaceName.HUB, size: int = 5) -> FileRecord:
    return FileRecord(place, path, size, sha256)


def record_of(model: Model, *files: FileRecord) -> ModelRecord:
    return ModelRecord(model_digest(model), model.key, model.source_name, model.revision, files)


def one(*names: str) -> ModelRecord:
    return record_of(ONE, *(file_of(f"{SNAPSHOT}/{name}") for name in names))


def package(*names: str) -> ModelRecord:
    return record_of(NAMES, *(file_of(f"{TREE}/{name}", place=PlaceName.SPACY) for name in names))


ALL: Final = one("config.json", "model.safetensors", "sub/a", "sub/deep/b")


def lock_of(model: Model, key: str = "", **files: LockedFile) -> Lock:
    named = {name.replace("__", "."): file for name, file in files.items()}
    return Lock({key or model.key: LockedModel(model.source_name, model.revision, named)})


def test_records_that_fit() -> None:
    assert record_mismatch(ALL, ONE) == ""
    assert record_mismatch(package(*PACKAGE_FILES), NAMES) == ""
    assert folder_mismatch(ALL) == folder_mismatch(package(*PACKAGE_FILES)) == ""


@pytest.mark.parametrize(
    ("record", "detail"),
    [
        (one("config.json", "sub/a"), 'lists no file for "model.safetensors"'),
        (one("config.json", "model.safetensors"), 'lists no file for "sub/\\*"'),
        (one(), "lists no file"),
        (one("config.json", "model.safetensors", "sub/a", "pytorch_model.bin"), "no file of one"),
        (one("config.json", "model.safetensors", "sub/a", "sub/a"), "twice"),
        (one("config.json", "model.safetensors", "sub/a", "sub/a/b"), "a folder of other files"),
        (ALL._replace(digest="1" * 64), "another model"),
        (ALL._replace(revision="d" * 40), "where one should be"),
        (
            ALL._replace(files=(*ALL.files, file_of("models--org--two/snapshots/x/config.json"))),
            "no file of one",
        ),
        (
            ALL._replace(files=tuple(file._replace(place=PlaceName.SPACY) for file in ALL.files)),
            "no file of one",
        ),
        (ALL._replace(files=(*ALL.files, file_of(f"{SNAPSHOT}x/config.json"))), "no file of one"),
    ],
)
def test_a_record_of_a_snapshot_that_does_not_fit(record: ModelRecord, detail: str) -> None:
    with pytest.raises(AssertionError, match=detail):
        raise AssertionError(record_mismatch(record, ONE))


@pytest.mark.parametrize(
    "files",
    [
        PACKAGE_FILES[:3],
        (*PACKAGE_FILES, "other-1.0.dist-info/METADATA"),
        (*PACKAGE_FILES, "de_x-2.0.dist-info/RECORD"),
        (*PACKAGE_FILES[:3], "other-1.0.dist-info/RECORD"),
        (*PACKAGE_FILES, "sitecustomize.py"),
        (*PACKAGE_FILES, "de_x.libs/a.so"),
        (PACKAGE_FILES[0], *PACKAGE_FILES[2:]),
        (*PACKAGE_FILES[:3], "de_x-1.0.dist-info/METADATA"),
    ],
)
def test_a_record_of_a_package_that_is_not_one_package_does_not_fit(files: tuple[str, ...]) -> None:
    assert record_mismatch(package(*files), NAMES)


def test_a_dist_info_may_be_spelt_as_the_standard_allows() -> None:
    files = [name.replace("de_x-1.0.dist-info", "De.X-1.0.dist-info") for name in PACKAGE_FILES]

    assert record_mismatch(package(*files), NAMES) == ""


@pytest.mark.parametrize(
    ("lock", "detail"),
    [
        (lock_of(ONE, config__json=LockedFile(5, "0" * 64, None)), ""),
        (lock_of(ONE, config__json=LockedFile(6, None, None)), "where the lock has 6"),
        (lock_of(ONE, config__json=LockedFile(None, "9" * 64, None)), "where the lock has 9999"),
        (lock_of(ONE, "other", config__json=LockedFile(None, "9" * 64, None)), "where the lock has 9999"),
        (lock_of(ONE, config__json=LockedFile(None, None, "9" * 40)), ""),
        (lock_of(ONE, not_selected=LockedFile(1, None, None)), ""),
        (
            Lock({"one": LockedModel("org/one", "a" * 40, {"sub/c": LockedFile(1, None, None)})}),
            "does not list sub/c",
        ),
        (Lock({"one": LockedModel("org/one", "e" * 40, {"config.json": LockedFile(6, None, None)})}), ""),
    ],
)
def test_what_the_lock_knows_of_the_same_commit_decides(lock: Lock, detail: str) -> None:
    mismatch = record_mismatch(ALL, ONE, lock)

    assert detail in mismatch
    assert bool(mismatch) is bool(detail)


def test_a_hash_that_only_git_knows_is_for_those_who_read_the_files() -> None:
    lock = lock_of(
        ONE, config__json=LockedFile(None, None, "9" * 40), other=LockedFile(1, "1" * 64, "8" * 40)
    )

    assert locked_git_sha1s(ONE, lock) == {f"{SNAPSHOT}/config.json": "9" * 40}


def test_a_locks_digest_binds_every_file_of_the_wheel() -> None:
    record = package(*PACKAGE_FILES)
    listed = {file.path.removeprefix(f"{TREE}/"): (file.bytes, file.sha256) for file in record.files}
    wheel = LockedFile(9, "c" * 64, None, contents_sha256(listed))
    lock = Lock({"names": LockedModel("de_x", "1.0", {"de_x-1.0-py3-none-any.whl": wheel})})

    assert is_locked(record, NAMES, lock)
    assert record_mismatch(record, NAMES, lock) == ""
    installed = file_of(f"{TREE}/de_x-1.0.dist-info/direct_url.json", place=PlaceName.SPACY)
    rewritten = record.files[-1]._replace(sha256="7" * 64)  # RECORD, as pip writes it
    assert record_mismatch(record_of(NAMES, *record.files[:-1], rewritten, installed), NAMES, lock) == ""
    for number in range(3):
        files = list(record.files)
        files[number] = files[number]._replace(sha256="7" * 64)
        assert "other files" in record_mismatch(record_of(NAMES, *files), NAMES, lock)
    more = file_of(f"{TREE}/de_x/more.py", place=PlaceName.SPACY)
    assert "other files" in record_mismatch(record_of(NAMES, *record.files, more), NAMES, lock)


def test_a_lock_with_another_wheel_is_about_this_model_only_under_its_key() -> None:
    wheel = {"de_x-1.0-py3-none-any.whl": LockedFile(9, "d" * 64, None)}

    assert "of the wheel" in record_mismatch(
        package(*PACKAGE_FILES), NAMES, Lock({"names": LockedModel("de_x", "1.0", wheel)})
    )
    assert (
        record_mismatch(package(*PACKAGE_FILES), NAMES, Lock({"old": LockedModel("de_x", "1.0", wheel)}))
        == ""
    )


TWO_RECORD: Final = record_of(TWO, file_of(f"models--org--two/snapshots/{'b' * 40}/config.json"))
FITTING: Final = Manifest(generation([ONE, TWO]), (ALL, TWO_RECORD))


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest._replace(generation="0" * 64),
        lambda manifest: manifest._replace(models=manifest.models[:1]),
        lambda manifest: manifest._replace(models=(*manifest.models, TWO_RECORD)),
        lambda manifest: manifest._replace(models=(ALL._replace(files=TWO_RECORD.files), TWO_RECORD)),
    ],
)
def test_a_manifest_that_does_not_fit(change: Callable[[Manifest], Manifest]) -> None:
    assert manifest_mismatch(FITTING, [ONE, TWO]) == ""
    assert manifest_mismatch(change(FITTING), [ONE, TWO])


def test_two_records_cannot_give_one_file_two_contents() -> None:
    again = ONE._replace(key="again")
    files = tuple(file._replace(sha256="5" * 64) for file in ALL.files)
    manifest = Manifest(generation([ONE, again]), (ALL, record_of(again, *files)))

    assert "two contents" in manifest_mismatch(manifest, [ONE, again])


@pytest.mark.parametrize(
    "file",
    [
        file_of("models--other--x/snapshots/y/config.json"),
        file_of("models--org--one/snapshots/other/config.json"),
        file_of("models--org--one/blobs/x"),
        file_of("de_x/__init__.py", place=PlaceName.SPACY),
        file_of(".packages/de_x-1.0-zzz/a", place=PlaceName.SPACY),
        file_of("sentence_transformers/x", place=PlaceName.TORCH),
        file_of("lock", place=PlaceName.OWN),
    ],
)
def test_without_a_catalog_the_folder_of_the_records_own_source_counts(file: FileRecord) -> None:
    assert folder_mismatch(ALL._replace(files=(*ALL.files, file)))
