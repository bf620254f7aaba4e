"""Claims: a staging file has one writer, whatever locks do, and what dead runs left is used."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.disk.file_lock import LockResult, try_lock
from cache_warmer.disk.positioned_io import read_at, write_at
from cache_warmer.transfer.claim import (
    claim_staging_file,
    hold_lock,
    remove_abandoned,
    staged_bytes,
)
from cache_warmer.transfer.journal import Journal, boot_id, journal_path
from cache_warmer.transfer.salvage import TryLock
from cache_warmer.transfer.staging import ClaimedFile, private_files, private_name, staged_extents
from model_cache.containment import CacheBoundary

CONTENT: Final = os.urandom(40_000_000)
SIZE: Final = len(CONTENT)
LONG_AGO: Final = 1_000_000_000


def no_locks(_: int) -> LockResult:
    """Answer like a volume without locks."""
    return LockResult.NOT_POSSIBLE


def lying_locks(_: int) -> LockResult:
    """Answer like a volume whose locks exclude nobody."""
    return LockResult.TAKEN


LOCKS: Final = [try_lock, no_locks, lying_locks]


@pytest.fixture
def resting(tmp_path: Path) -> Path:
    return tmp_path / "blobs" / "abc.incomplete"


@pytest.fixture
def claim(resting: Path) -> Callable[..., ClaimedFile]:
    def run(lock: TryLock = try_lock, *, size: int | None = SIZE, journaled: bool = True) -> ClaimedFile:
        return claim_staging_file(
            resting, CacheBoundary(resting.parent), size, lambda: None, journaled=journaled, lock=lock
        )

    return run


def write(file: ClaimedFile, *extents: tuple[int, int]) -> None:
    """Write these ranges of the content, with a journal."""
    journal = Journal(file.path, SIZE, boot_id(), 0o644)
    for start, end in extents:
        write_at(file.descriptor, CONTENT[start:end], start)
    journal.record_written(extents)
    journal.close()


def content_of(file: ClaimedFile) -> dict[tuple[int, int], bytes]:
    extents = staged_extents(file.path, SIZE).pairs()
    return {(start, end): read_at(file.descriptor, end - start, start) for start, end in extents}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_file_that_a_run_put_down_is_continued_in_place(
    resting: Path, claim: Callable[..., ClaimedFile], lock: TryLock
) -> None:
    first = claim(lock)
    write(first, (0, 100), (5000, 9000))
    inode = first.path.stat().st_ino
    first.close()
    first.rest()
    assert resting.exists()

    second = claim(lock)

    assert second.path.stat().st_ino == inode
    assert content_of(second) == {(0, 100): CONTENT[:100], (5000, 9000): CONTENT[5000:9000]}
    assert private_files(resting) == [second.path]


@pytest.mark.parametrize("lock", LOCKS)
def test_two_writers_never_have_one_file(claim: Callable[..., ClaimedFile], lock: TryLock) -> None:
    first = claim(lock)
    write(first, (0, 100))

    second = claim(lock)
    os.ftruncate(first.descriptor, 0)
    write_at(first.descriptor, b"late", 10)

    assert second.path.stat().st_ino != os.fstat(first.descriptor).st_ino
    assert content_of(second) == {(0, 100): CONTENT[:100]}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_run_that_loses_its_file_while_it_claims_it_starts_anew(
    resting: Path, claim: Callable[..., ClaimedFile], lock: TryLock
) -> None:
    """Another run finds the private name before it is locked, and takes it."""
    first = claim(lock)
    write(first, (0, 1000))
    first.close()
    first.rest()
    others = list[ClaimedFile]()

    def lock_late(descriptor: int) -> LockResult:
        if not others:
            (found,) = (path for path in private_files(resting))
            os.utime(found, (LONG_AGO, LONG_AGO))
            others.append(claim(lock))
        return lock(descriptor)

    late = claim(lock_late)

    assert os.fstat(late.descriptor).st_ino != os.fstat(others[0].descriptor).st_ino
    assert {(0, 1000): CONTENT[:1000]} in (content_of(late), content_of(others[0]))


def test_a_fresh_journal_without_its_file_stays(resting: Path) -> None:
    """A run that renames its file gives the journal its new name first."""
    resting.parent.mkdir()
    journal_path(private_name(resting)).write_bytes(b"")

    remove_abandoned(resting)

    assert len(list(resting.parent.iterdir())) == 1


def test_a_file_put_down_beside_another_keeps_its_private_name(
    resting: Path, claim: Callable[..., ClaimedFile]
) -> None:
    files = [claim(no_locks), claim(no_locks)]
    for file, extent in zip(files, [(0, 1000), (5000, 6000)], strict=True):
        write(file, extent)
        file.close()
    for file in files:
        file.rest()

    assert staged_bytes(resting, SIZE) == 2000
    assert set(content_of(claim())) == {(0, 1000), (5000, 6000)}


@pytest.mark.parametrize("lock", LOCKS)
def test_of_many_claims_at_once_one_gets_the_file(claim: Callable[..., ClaimedFile], lock: TryLock) -> None:
    first = claim(lock)
    write(first, (0, 1000))
    first.close()
    first.rest()
    barrier, claimed = threading.Barrier(8), list[ClaimedFile]()

    def run() -> None:
        barrier.wait(10)
        claimed.append(claim(lock))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len({os.fstat(file.descriptor).st_ino for file in claimed}) == 8


@pytest.mark.parametrize("journaled", [True, False])
def test_what_a_killed_run_left_is_moved_into_a_new_file(
    resting: Path, claim: Callable[..., ClaimedFile], journaled: bool
) -> None:
    killed = claim(journaled=journaled)
    if journaled:
        write(killed, (1000, 39_000_000))
    else:
        write_at(killed.descriptor, CONTENT[:20_000_000], 0)
    inode = killed.path.stat().st_ino
    killed.close()

    next_one = claim(journaled=journaled)

    assert next_one.path.stat().st_ino != inode
    wanted = (1000, 39_000_000) if journaled else (0, 20_000_000)
    assert content_of(next_one) == {wanted: CONTENT[slice(*wanted)]}
    assert private_files(resting) == [next_one.path]


def test_what_several_runs_left_is_put_together(resting: Path, claim: Callable[..., ClaimedFile]) -> None:
    files = [claim(lock=no_locks) for _ in range(3)]
    write(files[0], (0, 1000), (5000, 6000))
    write(files[1], (500, 5500))
    write(files[2], (30_000_000, SIZE))
    for file in files:
        file.close()

    assert staged_bytes(resting, SIZE) == 6000 + SIZE - 30_000_000
    together = claim()

    assert content_of(together) == {(0, 6000): CONTENT[:6000], (30_000_000, SIZE): CONTENT[30_000_000:]}


def test_a_move_that_is_cancelled_loses_nothing(resting: Path, claim: Callable[..., ClaimedFile]) -> None:
    killed = claim()
    write(killed, (0, SIZE))
    killed.close()
    calls = list[int]()

    def stop_at_the_second() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        claim_staging_file(resting, CacheBoundary(resting.parent), SIZE, stop_at_the_second, journaled=True)

    assert staged_bytes(resting, SIZE) == SIZE
    assert content_of(claim()) == {(0, SIZE): CONTENT}


def test_a_live_owner_keeps_its_file(resting: Path, claim: Callable[..., ClaimedFile]) -> None:
    live = claim()
    write(live, (0, 100))

    claim().close()
    remove_abandoned(resting)

    assert live.is_ours()
    assert content_of(live) == {(0, 100): CONTENT[:100]}


def test_without_locks_only_a_file_that_was_not_written_for_long_is_taken(
    resting: Path, claim: Callable[..., ClaimedFile]
) -> None:
    frozen, live = claim(no_locks), claim(no_locks)
    for file in (frozen, live):
        write(file, (0, 100))
    os.utime(frozen.path, (LONG_AGO, LONG_AGO))

    other = claim(no_locks)

    assert not frozen.is_ours(), "it can no longer publish"
    assert live.is_ours()
    assert content_of(other) == {(0, 100): CONTENT[:100]}


def test_a_file_with_another_name_is_never_written_to(
    resting: Path, claim: Callable[..., ClaimedFile]
) -> None:
    resting.parent.mkdir()
    blob = resting.with_name("abc")
    blob.write_bytes(CONTENT[:100])
    os.link(blob, resting)

    file = claim(journaled=False)
    os.ftruncate(file.descriptor, 0)

    assert blob.read_bytes() == CONTENT[:100]


@pytest.mark.parametrize("kind", ["link", "folder", "fifo", "dangling link"])
@pytest.mark.parametrize("name", ["resting", "private"])
def test_what_is_no_file_is_not_followed_and_not_waited_for(
    tmp_path: Path, resting: Path, claim: Callable[..., ClaimedFile], kind: str, name: str
) -> None:
    resting.parent.mkdir()
    path = resting if name == "resting" else private_name(resting)
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    if kind == "folder":
        path.mkdir()
        (path / "file").write_bytes(b"")
    elif kind == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(outside if kind == "link" else tmp_path / "nothing")

    file = claim()
    write_at(file.descriptor, CONTENT[:10], 0)

    assert outside.read_bytes() == b"mine"
    assert not (tmp_path / "nothing").exists()


def test_a_guarded_tree_is_not_removed(resting: Path) -> None:
    tree = private_name(resting)
    tree.mkdir(parents=True)

    with hold_lock(tree):
        remove_abandoned(resting)
        assert tree.exists()
    remove_abandoned(resting)

    assert not tree.exists()


def test_a_journal_without_its_file_is_removed(resting: Path, claim: Callable[..., ClaimedFile]) -> None:
    for path in (resting, private_name(resting)):
        journal_path(path).parent.mkdir(exist_ok=True)
        journal_path(path).write_bytes(b"")
        os.utime(journal_path(path), (LONG_AGO, LONG_AGO))
    file = claim()
    write(file, (0, 10))

    remove_abandoned(resting)

    assert sorted(resting.parent.iterdir()) == sorted([file.path, journal_path(file.path)])


def test_only_what_can_be_moved_counts_as_space_that_is_not_needed(
    resting: Path, claim: Callable[..., ClaimedFile]
) -> None:
    live, dead = claim(), claim()
    write(live, (0, 100))
    write(dead, (50, 130))
    dead.close()

    assert staged_bytes(resting, SIZE) == 130
    assert staged_bytes(resting, SIZE, lock=try_lock) == 80
