"""What a whole scan decides: which generation goes, what the names lead to next, and which places are left out."""

import pytest

from tests.support.generations import FilledCache, files_below
from tests.unit.cache_warmer.gc.conftest import OLDER, collect, snapshot


@pytest.mark.parametrize("kind", ["cache", "host"])
def test_the_older_generation_is_deleted(kind: str, request: pytest.FixtureRequest) -> None:
    cache: FilledCache = request.getfixturevalue(kind)

    plan = collect(cache)

    assert plan.freed_bytes > 0
    assert not snapshot(cache, "a").exists()
    assert snapshot(cache, "b").is_dir()
    assert [path.name[:8] for path in (cache.places.spacy.path / ".packages").glob("de*")] == ["de_a-2.0"]


def test_after_a_rollback_of_the_catalog_the_names_lead_back(cache: FilledCache) -> None:
    plan = collect(cache, OLDER)

    assert (cache.folder("org/x") / "refs/main").read_bytes() == b"a" * 40
    names = {path.name for path in cache.places.spacy.path.iterdir() if path.is_symlink()}
    assert names == {"de_a", "de_a-1.0.dist-info"}
    assert all(path.exists() for path in cache.places.spacy.path.iterdir())
    assert not plan.holds


@pytest.mark.parametrize("mode", [0o2775, 0o777])
def test_on_a_host_a_place_that_other_users_warm_into_is_left_alone(host: FilledCache, mode: int) -> None:
    for place in (host.places.hub, host.places.spacy):
        place.path.chmod(mode)
    before = set(files_below(host.places.hub.path) | files_below(host.places.spacy.path))

    collect(host)

    assert set(files_below(host.places.hub.path) | files_below(host.places.spacy.path)) == before
