"""What is not ours, or still in use, stays: other programs' files, names and transfers."""

import json
import os
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.gc.retention import GcPlan
from model_cache.catalog.catalog import Model
from model_cache.errors import ManifestInvalid
from model_cache.places import resolve_places
from tests.support.generations import NOW, OLD, Shelf, everything, hub_model, needs, package, shelf

OLDER: Final = [hub_model("one", "org/x", "a", ["a.json"]), package("names", "de_a", "1.0")]
NEWER: Final = [hub_model("one", "org/x", "b", ["b.bin"]), package("names", "de_a", "2.0")]


@pytest.fixture
def there(tmp_path: Path) -> Shelf:
    """A cache of two generations; the catalog is the newer one."""
    made = shelf(tmp_path / "cache")
    made.publish(OLDER, OLD)
    made.publish(NEWER, OLD + 1)
    return made


@pytest.fixture
def host(tmp_path: Path) -> Shelf:
    """The same in the global caches of a user."""
    home = tmp_path / "host"
    home.mkdir()
    made = Shelf(resolve_places("host", {}, home))
    made.publish(OLDER, OLD)
    made.publish(NEWER, OLD + 1)
    for listed in made.folder("org/x").glob("trees/*"):
        listed.unlink()  # a warmer writes none on a host
    note = made.places.own.path / "refs/models--org--x.json"
    note.parent.mkdir()
    note.write_text(json.dumps(["a" * 40, "b" * 40]))
    return made


def collected(there: Shelf, models: list[Model] = NEWER) -> GcPlan:
    collecting = there.collecting(models)
    found = collecting.look(needs(models))
    collecting.apply(found)
    return found


def snapshot(there: Shelf, commit: str) -> Path:
    return there.folder("org/x") / "snapshots" / (commit * 40)


@pytest.mark.parametrize("kind", ["there", "host"])
def test_the_older_generation_goes(kind: str, request: pytest.FixtureRequest) -> None:
    cache: Shelf = request.getfixturevalue(kind)

    found = collected(cache)

    assert found.bytes > 0
    assert not snapshot(cache, "a").exists()
    assert snapshot(cache, "b").is_dir()
    assert [path.name[:8] for path in (cache.places.spacy.path / ".packages").glob("de*")] == ["de_a-2.0"]


def test_a_rolled_back_catalog_gets_the_names_back(there: Shelf) -> None:
    found = collected(there, OLDER)

    assert (there.folder("org/x") / "refs/main").read_bytes() == b"a" * 40
    names = {path.name for path in there.places.spacy.path.iterdir() if path.is_symlink()}
    assert names == {"de_a", "de_a-1.0.dist-info"}
    assert all(path.exists() for path in there.places.spacy.path.iterdir())
    assert not found.held


def test_a_commit_that_another_program_added_to_stays_whole(there: Shelf) -> None:
    (snapshot(there, "a") / "README.md").write_text("of a plain from_pretrained")

    found = collected(there)

    assert (snapshot(there, "a") / "a.json").read_bytes()
    assert [held.why for held in found.held] == ["another program keeps README.md there"]


def test_a_commit_that_a_name_of_others_leads_to_stays(there: Shelf) -> None:
    (there.folder("org/x") / "refs/v1").write_text("a" * 40)

    found = collected(there)

    assert (snapshot(there, "a") / "a.json").read_bytes()
    assert "refs/v1" in found.held[0].why


def test_on_a_host_a_commit_that_the_hub_client_listed_stays(host: Shelf) -> None:
    listed = host.folder("org/x") / "trees" / f"{'a' * 40}.json"
    listed.write_text("{}")

    found = collected(host)

    assert (snapshot(host, "a") / "a.json").read_bytes()
    assert listed.exists()
    assert [held.why for held in found.held] == ["another program fetched it, too"]


def test_on_a_host_a_reference_that_is_not_ours_keeps_its_commit(host: Shelf) -> None:
    (host.places.own.path / "refs/models--org--x.json").write_text("[]")
    (host.folder("org/x") / "refs/main").write_text("a" * 40)

    collected(host)

    assert (snapshot(host, "a") / "a.json").read_bytes()
    assert (host.folder("org/x") / "refs/main").read_text() == "a" * 40


@pytest.mark.parametrize("mode", [0o2775, 0o777])
def test_on_a_host_a_place_that_others_warm_into_is_left_alone(host: Shelf, mode: int) -> None:
    for place in (host.places.hub, host.places.spacy):
        place.path.chmod(mode)
    before = set(everything(host.places.hub.path) | everything(host.places.spacy.path))

    collected(host)

    assert set(everything(host.places.hub.path) | everything(host.places.spacy.path)) == before


def test_a_package_that_pip_put_there_stays_under_its_name(host: Shelf) -> None:
    place = host.places.spacy.path
    (place / "de_a").unlink()
    (place / "de_a").mkdir()
    (place / "de_a/meta.json").write_text("another")

    collected(host)

    assert (place / "de_a/meta.json").read_text() == "another"


def test_a_repository_whose_folder_is_a_link_is_not_followed(there: Shelf, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere"
    there.folder("org/x").rename(real)
    there.folder("org/x").symlink_to(real)
    before = everything(real)

    collected(there)

    assert everything(real) == before


def old(path: Path, content: bytes = b"x" * 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (OLD, OLD))
    return path


def test_leftovers_of_runs_that_died_go_when_they_are_old(there: Shelf) -> None:
    blobs = there.folder("org/x") / "blobs"
    staging = there.places.spacy.path / ".packages/.staging"
    going = [
        old(blobs / f"{'1' * 64}.incomplete"),
        old(blobs / f"{'1' * 64}.0a1b2c3d.incomplete"),
        old(blobs / f"{'1' * 64}.ranges.incomplete"),
        old(blobs / ("2" * 64)),
        old(staging / "de_a.whl.incomplete"),
        old(there.places.own.path / "manifests/.x.json.ab12.tmp"),
        old(there.places.hub.path / ".qda-probe-17"),
    ]
    fresh = blobs / f"{'3' * 64}.incomplete"
    fresh.write_bytes(b"x")
    os.utime(fresh, (NOW, NOW))
    foreign = old(there.folder("other/project") / "blobs" / f"{'4' * 64}.incomplete")

    collected(there)

    assert not [path for path in going if path.exists()]
    assert fresh.exists()
    assert foreign.exists()


def test_on_a_host_only_our_own_staging_files_go(host: Shelf) -> None:
    blobs = host.folder("org/x") / "blobs"
    ours = old(blobs / f"{'1' * 64}.qda-{os.getuid()}.incomplete")
    theirs = [old(blobs / f"{'1' * 64}.0a1b2c3d.incomplete"), old(blobs / f"{'1' * 64}.qda-54321.incomplete")]
    loose = old(blobs / ("2" * 64))

    collected(host)

    assert not ours.exists()
    assert all(path.exists() for path in (*theirs, loose))


def test_what_a_stopped_warm_staged_stays_for_the_next_one(there: Shelf) -> None:
    staged = old(there.folder("org/x") / "blobs" / f"{'1' * 64}.incomplete")
    next((there.folder("org/x") / "snapshots" / ("b" * 40)).iterdir()).unlink()

    collected(there)

    assert staged.exists()


def test_a_staging_file_that_a_live_process_holds_stays(there: Shelf) -> None:
    fcntl = pytest.importorskip("fcntl")
    staged = old(there.folder("org/x") / "blobs" / f"{'1' * 64}.incomplete")

    with staged.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        collected(there)

    assert staged.exists()


@pytest.mark.parametrize("folder", ["manifests", "references"])
def test_a_promise_that_cannot_be_read_stops_everything(there: Shelf, folder: str) -> None:
    old(there.places.own.path / folder / "damaged.json", b"{")
    before = everything(there.places.own.path.parent)

    with pytest.raises(ManifestInvalid, match=r"damaged\.json"):
        there.look(NEWER)

    assert everything(there.places.own.path.parent) == before


def test_a_frozen_holder_whose_lease_is_lost_deletes_nothing_more(there: Shelf) -> None:
    collecting = there.collecting(NEWER, steps=0)

    with pytest.raises(KeyboardInterrupt):
        collecting.apply(collecting.look(needs(NEWER)))

    assert snapshot(there, "a").is_dir()
