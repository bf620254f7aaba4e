"""Reading and writing references; an unreadable one is reported, not ignored."""

import os
from pathlib import Path
from typing import Final

import pytest

from model_cache.errors import ManifestInvalid
from model_cache.places import Places, resolve_places
from model_cache.references import (
    MAX_REFERENCE_BYTES,
    Reference,
    dump_reference,
    parse_reference,
    read_references,
    reference_path,
    references_folder,
)

RELEASE: Final = Reference(
    "texts/worker", "a" * 64, {"one": "b" * 64}, "texts", "worker-qda-worker", "2026-01-02T03:04:05Z"
)


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return resolve_places(str(tmp_path / "cache"), {}, tmp_path)


def test_a_reference_is_read_as_it_was_written() -> None:
    assert parse_reference(dump_reference(RELEASE)) == RELEASE


def test_the_file_of_a_release_has_its_plain_name(places: Places) -> None:
    assert reference_path(places, "texts/worker").name == "texts_worker.json"


def test_any_other_name_has_a_safe_and_unique_file_name(places: Places) -> None:
    names = [
        "default",
        "/srv/a/b.yaml",
        "/srv/a_b.yaml",
        "../../x",
        "ä b",
        "x" * 400,
        "Texts/Worker",
        "a_b/c",
    ]
    files = {reference_path(places, name) for name in names}

    assert len(files) == len(names)
    assert {file.parent for file in files} == {references_folder(places)}
    assert all(file.name.isascii() and len(file.name) < 120 for file in files)
    assert all(not file.name.startswith(".") for file in files)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        dump_reference(RELEASE)[:-20],
        dump_reference(RELEASE).replace(b"a" * 64, b"short"),
        dump_reference(RELEASE).replace(b"b" * 64, b"short"),
        dump_reference(RELEASE._replace(name="")),
        dump_reference(RELEASE).replace(b"CacheReference", b"CacheManifest"),
        dump_reference(RELEASE).replace(b'"texts/worker"', b"7"),
    ],
)
def test_a_truncated_or_changed_reference_is_reported(places: Places, content: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        parse_reference(content)

    path = reference_path(places, "texts/worker")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    found, bad = read_references(places)

    assert found == {}
    assert list(bad) == [path]


def test_a_pipe_or_a_huge_file_is_an_unreadable_reference(places: Places) -> None:
    folder = references_folder(places)
    folder.mkdir(parents=True)
    os.mkfifo(folder / "pipe.json")
    with (folder / "huge.json").open("wb") as file:
        file.truncate(MAX_REFERENCE_BYTES + 1)

    found, bad = read_references(places)

    assert found == {}
    assert sorted(path.name for path in bad) == ["huge.json", "pipe.json"]


def test_all_references_of_a_cache_are_found(places: Places) -> None:
    assert read_references(places) == ({}, {})
    other = RELEASE._replace(name="/srv/my.yaml", namespace="", deployment="")
    for one in (RELEASE, other):
        path = reference_path(places, one.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dump_reference(one))
    (references_folder(places) / ".texts_worker.json.tmp").write_bytes(b"half")

    found, bad = read_references(places)

    assert {one.name for one in found.values()} == {"texts/worker", "/srv/my.yaml"}
    assert bad == {}
