"""An adoption compares with the lock alone, publishes under the lease only, and leaves nothing half done."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import pytest

from cache_warmer.adopt.adoption import Adoption
from cache_warmer.adopt.report import ModelAdoption
from cache_warmer.adopt.scan import Candidate, Findings, scan
from cache_warmer.artifacts.sources import Sources, SourceSettings
from cache_warmer.errors import LeaseLost, NoSpace
from cache_warmer.hub.retry import Retry
from cache_warmer.reference import ReferenceWriter
from cache_warmer.transfer.pool import Stop
from model_cache.catalog.catalog import HuggingFaceSource, Model, Task, generation
from model_cache.catalog.lock import Lock, LockedFile, LockedModel
from model_cache.places import Places, resolve_places
from model_cache.reasons import Reason

FILES: Final = {"config.json": b'{"x": 1}', "model.bin": b"weights" * 1000}
MODEL: Final = Model("mood", Task.SENTIMENT, HuggingFaceSource("org/mood", "a" * 40, tuple(FILES)))
UNKNOWN: Final = Model("other", Task.SENTIMENT, HuggingFaceSource("org/other", "b" * 40, ("config.json",)))


@dataclass
class FakeLease:
    """A lease that another writer takes after some checks."""

    checks_left: int = 1000
    entered: list[str] = field(default_factory=list)

    @contextmanager
    def held(self) -> Iterator[None]:
        self.entered.append("held")
        yield

    def check(self) -> None:
        self.checks_left -= 1
        if self.checks_left < 0:
            raise LeaseLost("another writer took it", "run it again")


@dataclass(frozen=True)
class FullDisk(Candidate):
    """A file during whose copy the disk of the cache runs full, after it was read once."""

    reads: list[int] = field(default_factory=list)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        self.reads.append(1)
        if len(self.reads) > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with Candidate.open(self) as file:
            yield file


def locked() -> Lock:
    files = {
        name: LockedFile(
            len(content),
            None,
            hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest(),
        )
        for name, content in FILES.items()
    }
    return Lock({"mood": LockedModel("org/mood", "a" * 40, files, whole_repository_bytes=7008)})


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return resolve_places(str(tmp_path / "cache"), {}, tmp_path)


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs/mood"
    folder.mkdir(parents=True)
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


def adoption(places: Places, *models: Model, lease: FakeLease | None = None) -> Adoption:
    settings = SourceSettings("http://127.0.0.1:1", None, 1.0, Retry(attempts=1))
    lock = locked()
    return Adoption(
        models,
        generation(models),
        lock,
        places,
        Sources(settings, places, lock, {"HF_HUB_OFFLINE": "1"}),
        lease or FakeLease(),
        ReferenceWriter("test", "", "", places, lambda: datetime(2026, 1, 2, tzinfo=UTC)),
        Stop(),
    )


def records(places: Places) -> list[Path]:
    return list((places.own.path / "models").glob("*"))


def staged(places: Places) -> list[Path]:
    return list(places.own.path.parent.rglob("*.incomplete"))


def names(model: ModelAdoption) -> list[str]:
    return [file.name for file in model.adopted]


def test_a_plan_writes_nothing_and_an_adoption_records_the_model(places: Places, theirs: Path) -> None:
    run = adoption(places, MODEL)
    (plan,) = run.plan(scan(theirs, places))
    assert not places.own.path.exists()
    (done,) = run.apply(scan(theirs, places))

    assert plan == done
    assert (names(done), done.compared_with, done.missing) == (list(FILES), "lock", ())
    assert len(records(places)) == 1
    (again,) = run.apply(scan(theirs, places))
    assert (again.cached, again.adopted) == (True, ())


def test_a_model_that_cannot_be_compared_does_not_hold_up_the_others(places: Places, theirs: Path) -> None:
    unknown, known = adoption(places, UNKNOWN, MODEL).apply(scan(theirs, places))
    assert (unknown.reason, unknown.adopted) == (Reason.HUB_UNREACHABLE, ())
    assert "its files cannot be compared" in unknown.detail
    assert names(known) == list(FILES)


def test_a_part_of_a_model_gets_no_record(places: Places, theirs: Path) -> None:
    (theirs / "model.bin").write_bytes(b"weightX" * 1000)
    (done,) = adoption(places, MODEL).apply(scan(theirs, places))
    assert (names(done), [one.name for one in done.missing]) == (["config.json"], ["model.bin"])
    assert records(places) == []


@pytest.mark.parametrize("checks", [0, 1, 2])
def test_nothing_is_published_after_the_lease_was_lost(places: Places, theirs: Path, checks: int) -> None:
    with pytest.raises(LeaseLost):
        adoption(places, MODEL, lease=FakeLease(checks)).apply(scan(theirs, places))
    assert records(places) == []
    assert staged(places) == []
    assert len(list(places.hub.path.glob("*/blobs/*"))) == max(0, checks - 1)


def test_a_disk_that_fills_is_told_and_the_next_run_continues(places: Places, theirs: Path) -> None:
    found = scan(theirs, places)
    big = next(one for one in found.candidates if one.path.name == "model.bin")
    big.path.chmod(0o600)  # so that it is copied
    found.candidates[found.candidates.index(big)] = FullDisk(big.path, big.bytes, big.hint, big.found)
    run = adoption(places, MODEL)

    with pytest.raises(NoSpace, match="No space left"):
        run.apply(found)

    assert (records(places), staged(places)) == ([], [])
    (done,) = run.apply(scan(theirs, places))
    assert names(done) == ["model.bin"]
    assert len(records(places)) == 1


def test_an_empty_folder_has_nothing(places: Places) -> None:
    (done,) = adoption(places, MODEL).plan(Findings())
    assert (done.reason, done.adopted) == (Reason.CACHE_INCOMPLETE, ())
