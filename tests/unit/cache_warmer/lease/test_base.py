"""The lock on a file of the cache, and when its holder is not waited for."""

import dataclasses
import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cache_warmer.errors import LeaseHeld
from cache_warmer.lease.base import FileLease


def lease(path: Path, **changes: Any) -> FileLease:
    """Return a lease whose clock advances with each sleep; it waits for two seconds."""
    time = [0.0]

    def sleep(seconds: float) -> None:
        time[0] += seconds

    return FileLease(path, 2.0, lambda: time[0], sleep, lambda _: None, **changes)


@contextmanager
def locked_by_another(path: Path, document: object) -> Iterator[None]:
    """Have the file locked by a process that leaves what stands in it."""
    path.write_text(json.dumps(document) if not isinstance(document, str) else document, encoding="utf-8")
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def document(**changes: Any) -> dict[str, Any]:
    return {"pid": 1, "host": "node", "lease": "L1", "holder": "frozen", "lost": False, **changes}


def test_a_successor_passes_the_holder_that_it_replaced(tmp_path: Path) -> None:
    with locked_by_another(tmp_path / "lock", document()):
        with lease(tmp_path / "lock", lease_uid="L1", identity="me", superseded="frozen").held():
            pass
        with lease(tmp_path / "lock", lease_uid="L1", identity="third", superseded="").held():
            pass


def test_a_successor_passes_although_its_time_to_wait_is_over(tmp_path: Path) -> None:
    """The wait for the Lease may have used all of it."""
    late = lease(tmp_path / "lock", lease_uid="L1", identity="me", superseded="frozen")
    late = dataclasses.replace(late, timeout=0.0)
    with locked_by_another(tmp_path / "lock", document()), late.held():
        pass


@pytest.mark.parametrize(
    "found",
    [
        document(),  # a former holder that was not replaced, but released the Lease or was killed
        document(holder="another"),
        document(lease="L2"),
        document(holder="me"),
        document(holder=""),
        {"pid": 1, "host": "node", "lease": "L1"},  # as former versions wrote it
        {},
        [],
        5,
        "",
        "[" * 4000,
        '{"pid": 1e999, "host": ""}',
    ],
)
def test_no_other_holder_is_passed(tmp_path: Path, found: object) -> None:
    superseded = "" if found == document() else "frozen"
    waiting = lease(tmp_path / "lock", lease_uid="L1", identity="me", superseded=superseded)
    with locked_by_another(tmp_path / "lock", found), pytest.raises(LeaseHeld):
        waiting.held().__enter__()


def test_a_holder_that_may_not_change_the_mode_still_gives_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: int, __: int) -> None:
        raise PermissionError

    (tmp_path / "lock").write_text(json.dumps(document()))
    monkeypatch.setattr(os, "fchmod", refused)

    with lease(tmp_path / "lock", lease_uid="L2", identity="me").held():
        written = json.loads((tmp_path / "lock").read_bytes())
        assert (written["lease"], written["holder"]) == ("L2", "me")


def test_a_holder_that_cannot_write_leaves_no_former_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int, __: bytes, ___: int) -> int:
        raise OSError(28, "No space left on device")

    (tmp_path / "lock").write_text(json.dumps(document()))
    monkeypatch.setattr(os, "pwrite", full)

    with lease(tmp_path / "lock", lease_uid="L2", identity="me").held():
        assert (tmp_path / "lock").read_bytes() == b""


def test_the_file_names_nobody_after_the_release(tmp_path: Path) -> None:
    with lease(tmp_path / "lock").held():
        assert b'"pid"' in (tmp_path / "lock").read_bytes()

    assert (tmp_path / "lock").read_bytes() == b""
