"""Hub repositories that other programs use too: their files, refs and lists keep a commit whole."""

from pathlib import Path

from tests.support.generations import FilledCache, files_below
from tests.unit.cache_warmer.gc.conftest import collect, snapshot


def test_a_commit_that_another_program_added_a_file_to_stays_whole(cache: FilledCache) -> None:
    (snapshot(cache, "a") / "README.md").write_text("of a plain from_pretrained")

    plan = collect(cache)

    assert (snapshot(cache, "a") / "a.json").read_bytes()
    assert [hold.why for hold in plan.holds] == ["another program keeps README.md there"]


def test_a_commit_that_a_foreign_ref_names_stays(cache: FilledCache) -> None:
    (cache.folder("org/x") / "refs/v1").write_text("a" * 40)

    plan = collect(cache)

    assert (snapshot(cache, "a") / "a.json").read_bytes()
    assert "refs/v1" in plan.holds[0].why


def test_on_a_host_a_commit_that_the_hub_client_listed_stays(host: FilledCache) -> None:
    tree_list = host.folder("org/x") / "trees" / f"{'a' * 40}.json"
    tree_list.write_text("{}")

    plan = collect(host)

    assert (snapshot(host, "a") / "a.json").read_bytes()
    assert tree_list.exists()
    assert [hold.why for hold in plan.holds] == ["another program fetched it, too"]


def test_on_a_host_a_refs_main_that_is_not_ours_keeps_its_commit(host: FilledCache) -> None:
    (host.places.own.path / "refs/models--org--x.json").write_text("[]")
    (host.folder("org/x") / "refs/main").write_text("a" * 40)

    collect(host)

    assert (snapshot(host, "a") / "a.json").read_bytes()
    assert (host.folder("org/x") / "refs/main").read_text() == "a" * 40


def test_a_file_in_refs_that_is_too_large_for_a_ref_keeps_nothing(cache: FilledCache) -> None:
    (cache.folder("org/x") / "refs/v1").write_text("a" * 5000)

    collect(cache)

    assert not snapshot(cache, "a").exists()


def test_a_repository_whose_folder_is_a_link_is_not_followed(cache: FilledCache, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere"
    cache.folder("org/x").rename(real)
    cache.folder("org/x").symlink_to(real)
    before = files_below(real)

    collect(cache)

    assert files_below(real) == before
