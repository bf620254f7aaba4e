"""Leftovers of runs that failed are deleted when they are old; those of others and of the next warm are not."""

import os

from tests.support.generations import NOW, FilledCache, write_old_file
from tests.unit.cache_warmer.gc.conftest import collect


def test_old_leftovers_of_failed_runs_are_deleted(cache: FilledCache) -> None:
    blobs = cache.folder("org/x") / "blobs"
    staging = cache.places.spacy.path / ".packages/.staging"
    leftovers = [
        write_old_file(blobs / f"{'1' * 64}.incomplete"),
        write_old_file(blobs / f"{'1' * 64}.0a1b2c3d.incomplete"),
        write_old_file(blobs / f"{'1' * 64}.ranges.incomplete"),
        write_old_file(blobs / ("2" * 64)),
        write_old_file(staging / "de_a.whl.incomplete"),
        write_old_file(cache.places.own.path / "manifests/.x.json.ab12.tmp"),
        write_old_file(cache.places.hub.path / ".qda-probe-17"),
    ]
    fresh = blobs / f"{'3' * 64}.incomplete"
    fresh.write_bytes(b"x")
    os.utime(fresh, (NOW, NOW))
    foreign = write_old_file(cache.folder("other/project") / "blobs" / f"{'4' * 64}.incomplete")

    collect(cache)

    assert not [path for path in leftovers if path.exists()]
    assert fresh.exists()
    assert foreign.exists()


def test_on_a_host_only_partial_files_of_this_user_are_deleted(host: FilledCache) -> None:
    blobs = host.folder("org/x") / "blobs"
    own = write_old_file(blobs / f"{'1' * 64}.qda-{os.getuid()}.incomplete")
    foreign = [
        write_old_file(blobs / f"{'1' * 64}.0a1b2c3d.incomplete"),
        write_old_file(blobs / f"{'1' * 64}.qda-54321.incomplete"),
    ]
    unlinked = write_old_file(blobs / ("2" * 64))

    collect(host)

    assert not own.exists()
    assert all(path.exists() for path in (*foreign, unlinked))


def test_a_partial_file_that_the_next_warm_resumes_stays(cache: FilledCache) -> None:
    partial = write_old_file(cache.folder("org/x") / "blobs" / f"{'1' * 64}.incomplete")
    next((cache.folder("org/x") / "snapshots" / ("b" * 40)).iterdir()).unlink()

    collect(cache)

    assert partial.exists()
