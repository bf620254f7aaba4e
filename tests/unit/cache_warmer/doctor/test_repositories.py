"""Refs, links and downloads of a hub cache, in the states in which interrupted programs leave them."""

import os
import time
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.doctor.diagnosis import Finding, Severity
from cache_warmer.doctor.repositories import check_repositories
from model_cache.places import Places, resolve_places
from tests.support.cache_trees import CacheTree, build_cache

COMMIT: Final = "a" * 40


@pytest.fixture
def tree(tmp_path: Path) -> CacheTree:
    return build_cache(tmp_path / "cache")


def found(places: Places, now: float | None = None) -> list[Finding]:
    return list(check_repositories(places, now or time.time(), "warm-command"))


def repository(tree: CacheTree) -> Path:
    return tree.places.hub.path / "models--org--mood"


def write_ref(tree: CacheTree, content: str, name: str = "main") -> None:
    path = repository(tree) / "refs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def test_a_complete_cache_and_an_absent_one_have_no_findings(tree: CacheTree, tmp_path: Path) -> None:
    write_ref(tree, COMMIT)
    assert found(tree.places) == []
    assert found(resolve_places(str(tmp_path / "absent"), {}, tmp_path)) == []


@pytest.mark.parametrize("content", ["c" * 40, f"{COMMIT}\n", "", "\x00"])
def test_main_that_names_no_snapshot_is_an_error_with_the_command_that_fetches_it(
    tree: CacheTree, content: str
) -> None:
    write_ref(tree, content)
    (one,) = found(tree.places)
    assert (one.check, one.severity) == ("ref", Severity.ERROR)
    assert f"hf download org/mood --cache-dir {tree.places.hub.path}" in one.remedy
    assert "warm-command" in one.remedy


def test_another_ref_that_names_no_snapshot_is_a_warning(tree: CacheTree) -> None:
    write_ref(tree, "c" * 40, "v1.0")
    (one,) = found(tree.places)
    assert (one.severity, 'revision="v1.0"' in one.message) == (Severity.WARNING, True)


def test_links_to_deleted_blobs_are_one_error_for_each_repository(tree: CacheTree) -> None:
    for name in ("config.json", "sub/more.json"):
        tree.blob(name).unlink()
    (one,) = found(tree.places)
    assert (one.check, one.severity) == ("broken-snapshot", Severity.ERROR)
    assert one.message.startswith("2 of 3 links")
    assert {Path(path).name for path in one.paths} == {"config.json", "more.json"}
    assert f"--revision {COMMIT}" in one.remedy


def test_a_circle_of_links_leads_nowhere(tree: CacheTree) -> None:
    link = tree.snapshot_file("circle.json")
    link.symlink_to(link.name)
    assert [one.check for one in found(tree.places)] == ["broken-snapshot"]


def test_links_of_packages_and_of_the_former_layout_that_lead_nowhere_are_warnings(tree: CacheTree) -> None:
    former = tree.places.torch.path / "sentence_transformers"
    former.mkdir(parents=True)
    (former / "org_gone").symlink_to("nowhere")
    (tree.places.spacy.path / "de_gone").symlink_to("nowhere")
    assert [(one.check, one.severity) for one in found(tree.places)] == [
        ("broken-link", Severity.WARNING)
    ] * 2


def test_old_downloads_are_a_warning_with_age_and_bytes_and_recent_ones_a_note(tree: CacheTree) -> None:
    blobs, now = repository(tree) / "blobs", time.time()
    old, older, recent = (blobs / f"{name}.incomplete" for name in ("old", "older", "recent"))
    package = tree.places.spacy.path / ".packages/x.incomplete/part"
    package.parent.mkdir()
    for path, hours in ((old, 30), (older, 24 * 5), (recent, 0), (package, 24 * 3)):
        path.write_bytes(b"x" * 50_000)
        os.utime(path, (now, now - hours * 3600))

    warning, note = found(tree.places, now)

    assert (warning.check, set(warning.paths)) == (
        "unfinished-download",
        {str(old), str(older), str(package)},
    )
    assert warning.bytes >= 150_000
    assert "30 hours ago" in warning.message
    assert "5 days ago" in warning.message
    assert (note.severity, note.paths) == (Severity.NOTE, (str(recent),))


def test_a_ref_that_cannot_be_read_is_named_and_the_others_are_examined(tree: CacheTree) -> None:
    write_ref(tree, "c" * 40)
    (repository(tree) / "refs" / "huge").write_bytes(b"x" * 5000)
    assert [one.check for one in found(tree.places)] == ["ref", "ref"]
