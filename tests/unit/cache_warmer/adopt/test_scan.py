"""A scan finds files of models in folders and archives, leaves the cache out, and goes on where it cannot read."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from cache_warmer.adopt.layouts import FileHint, Layout
from cache_warmer.adopt.scan import Findings, member_hint, scan
from model_cache.errors import UsageError
from model_cache.places import Places, resolve_places
from tests.unit.cache_warmer.adopt.test_layouts import made


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return resolve_places(str(tmp_path / "cache"), {}, tmp_path)


def hints(findings: Findings) -> set[tuple[str, str]]:
    return {(one.hint.repository, one.hint.name) for one in findings.candidates}


def test_files_are_found_through_links_to_another_disk_and_once(tmp_path: Path, places: Places) -> None:
    made(tmp_path / "disk/x", "blobs/aa", "snapshots/c/config.json")
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/models--org--x").symlink_to(tmp_path / "disk/x")
    (tmp_path / "theirs/again").symlink_to(tmp_path / "theirs")

    found = scan(tmp_path / "theirs", places)

    assert [(one.layout, one.name) for one in found.models] == [(Layout.HUB_CACHE, "org/x")]
    assert hints(found) == {("org/x", ""), ("org/x", "config.json")}


def test_the_cache_itself_is_left_out(tmp_path: Path, places: Places) -> None:
    made(places.hub.path / "models--org--x", "blobs/aa", "snapshots/c/config.json")
    made(tmp_path / "other", "config.json")

    assert hints(scan(tmp_path, places)) == {("other", "config.json")}
    for own in (places.hub.path, places.hub.path / "models--org--x/blobs/aa"):
        with pytest.raises(UsageError, match="in the cache that is to be filled"):
            scan(own, places)


def test_a_cache_of_old_transformers_may_hold_a_newer_one(tmp_path: Path, places: Places) -> None:
    stem = f"{'1' * 64}.{'2' * 64}"
    made(tmp_path / "t", stem, f"{stem}.json", "models--org--x/snapshots/c/config.json")
    layouts = [one.layout for one in scan(tmp_path / "t", places).models]
    assert layouts == [Layout.TRANSFORMERS, Layout.HUB_CACHE]


def test_what_is_inside_a_model_is_a_part_of_it(tmp_path: Path, places: Places) -> None:
    made(tmp_path / "t/org_x", "modules.json", "1_Pooling/config.json", "0_Transformer/config.json")
    found = scan(tmp_path / "t", places)
    assert [one.name for one in found.models] == ["org_x"]
    assert ("org_x", "1_Pooling/config.json") in hints(found)


@pytest.mark.parametrize("kind", ["fifo", "link to nothing", "circle", "data set", "lock"])
def test_what_is_no_file_of_a_model_is_passed_over(tmp_path: Path, places: Places, kind: str) -> None:
    folder = tmp_path / "t"
    folder.mkdir()
    match kind:
        case "fifo":
            os.mkfifo(folder / "config.json")
        case "link to nothing":
            (folder / "config.json").symlink_to("nowhere")
        case "circle":
            (folder / "config.json").symlink_to("config.json")
        case "data set":
            made(folder / "datasets--org--x/blobs", "aa")
        case "lock":
            made(folder / ".locks", "aa.lock")
    assert scan(folder, places).candidates == []


def test_members_of_an_archive_are_candidates(tmp_path: Path, places: Places) -> None:
    path = tmp_path / "t.tgz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in (
            ("a/models--org--x/blobs/aa", b"12"),
            ("a/models--org--x/../../../etc/x", b"3"),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("a/models--org--x/snapshots/c/sub/v.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "../../../blobs/aa"
        archive.addfile(link)

    found = scan(path, places)

    assert [one.layout for one in found.models] == [Layout.TAR]
    first = found.candidates[0]
    assert (first.hint, first.bytes) == (FileHint("sub/v.txt", "c", "org/x"), 2)
    with first.open() as file:
        assert file.read() == b"12"


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b no", b"x" * 2000, b"\xfd7zXZ\0 no"])
def test_a_broken_archive_is_noted(tmp_path: Path, places: Places, content: bytes) -> None:
    made(tmp_path / "t", "config.json")
    (tmp_path / "t/x.tar.gz").write_bytes(content)
    found = scan(tmp_path / "t", places)
    assert list(found.damaged) == [tmp_path / "t/x.tar.gz"]
    assert hints(found) == {("t", "config.json")}


def test_the_hint_of_a_member() -> None:
    assert member_hint("x/models--o--n/snapshots/c/a/b") == FileHint("a/b", "c", "o/n")
    assert member_hint("models--o--n/blobs/aa") == FileHint("", "", "o/n")
    assert member_hint("models--o--n") == FileHint()
    assert member_hint("some/config.json") == FileHint("some/config.json")
