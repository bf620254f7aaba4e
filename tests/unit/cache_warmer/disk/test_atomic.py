"""Writes by rename, and the modes of what is written."""

import os
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from cache_warmer.disk import atomic
from model_cache.containment import CacheBoundary


@pytest.fixture(autouse=True)
def strict_umask() -> Iterator[None]:
    former = os.umask(0o077)
    yield
    os.umask(former)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_other_users_may_read_what_is_written_with_any_umask(tmp_path: Path) -> None:
    atomic.write_file(tmp_path / "a/b/file", b"content", CacheBoundary(tmp_path))

    assert (mode(tmp_path / "a"), mode(tmp_path / "a/b"), mode(tmp_path / "a/b/file")) == (
        0o755,
        0o755,
        0o644,
    )
    assert (tmp_path / "a/b/file").read_bytes() == b"content"


def test_a_volume_shared_by_its_group_stays_so(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2775)

    atomic.write_file(shared / "a/b/file", b"", CacheBoundary(shared))

    assert (mode(shared / "a"), mode(shared / "a/b"), mode(shared / "a/b/file")) == (0o2775, 0o2775, 0o664)


def test_a_shared_volume_stays_so_when_threads_create_the_same_folders(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o2775)
    paths = [shared / f"{trunk}/b/c/{leaf}" for trunk in range(100) for leaf in range(8)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(partial(atomic.make_folders, boundary=CacheBoundary(shared)), paths))

    assert {mode(folder) for folder in shared.rglob("*")} == {0o2775}


def test_an_existing_folder_keeps_its_modes(tmp_path: Path) -> None:
    (tmp_path / "private").mkdir(mode=0o700)

    atomic.make_folders(tmp_path / "private/new", CacheBoundary(tmp_path))

    assert mode(tmp_path / "private") == 0o700


def test_a_write_replaces_by_a_new_inode_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "folder/file"
    atomic.write_file(path, b"old", CacheBoundary(tmp_path))
    with path.open("rb") as reader:
        atomic.write_file(path, b"new", CacheBoundary(tmp_path))
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        atomic.write_file(tmp_path / "a" / ("x" * 300), b"new", CacheBoundary(tmp_path))

    assert list((tmp_path / "a").iterdir()) == []


def test_a_folder_under_the_name_of_a_file_is_moved_aside(tmp_path: Path) -> None:
    (tmp_path / "a/folder").mkdir(parents=True)
    (tmp_path / "a/folder/theirs").touch()

    atomic.write_file(tmp_path / "a/folder", b"new", CacheBoundary(tmp_path))

    assert (tmp_path / "a/folder").read_bytes() == b"new"
    (aside,) = tmp_path.glob("a/folder.*.set-aside.incomplete")
    assert (aside / "theirs").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become two users")
def test_two_users_of_a_group_can_create_the_same_folders_at_once(
    public_folder: Path,
) -> None:
    shared = public_folder / "shared"
    shared.mkdir()
    os.chown(shared, 0, 40_100)
    shared.chmod(0o2775)

    def work(uid: int) -> None:
        os.setgroups([])
        os.setgid(40_100)
        os.setuid(uid)
        for number in range(60):
            atomic.write_file(shared / f"{number}/deep/er/of-{uid}", b"content", CacheBoundary(shared))

    children = []
    for uid in (40_001, 40_002):
        child = os.fork()
        if child == 0:
            try:
                work(uid)
            except BaseException:  # noqa: BLE001  # a child of a test must not go on as a test
                os._exit(1)
            os._exit(0)
        children.append(child)

    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    assert len(list(shared.rglob("of-*"))) == 120
    assert not list(shared.rglob(".*.tmp"))
    assert {mode(folder) for folder in shared.rglob("*") if folder.is_dir()} == {0o2775}


@pytest.mark.parametrize("target", ["nowhere", "repository", ""], ids=["to nothing", "circle", "file"])
def test_threads_that_meet_what_has_the_name_of_a_folder_all_get_their_folder(
    tmp_path: Path, target: str
) -> None:
    """`os.path.realpath` fails if a link goes while it is read, so this failed in one of twenty rounds."""
    boundary = CacheBoundary(tmp_path)
    with ThreadPoolExecutor(6) as pool:
        for number in range(100):
            blocked = tmp_path / str(number) / "repository"
            blocked.parent.mkdir()
            blocked.symlink_to(target) if target else blocked.write_text("of somebody")
            writes = [
                pool.submit(atomic.write_file, blocked / "blobs" / str(name), b"x", boundary)
                for name in range(6)
            ]
            for write in writes:
                write.result()
            assert len(list(blocked.rglob("*"))) == 7
            assert len(list(blocked.parent.glob("repository.*.set-aside.incomplete"))) == 1
