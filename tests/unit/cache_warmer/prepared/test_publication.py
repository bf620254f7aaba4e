"""Publication of prepared forms: what is refused, what is written, and that it can be repeated."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cache_warmer.disk.volume import FreeSpace
from cache_warmer.errors import FormRefused, GateFailed, LeaseLost, NoSpace, VolumeUnsuitable
from cache_warmer.prepared.publication import Outcome, find_forms
from model_cache.catalog.catalog import HuggingFaceSource, Model, Task
from model_cache.errors import ModelCacheError, UsageError
from model_cache.layout import prepared_folder
from model_cache.prepared_form import Gate, GateFigure
from model_cache.prepared_store import find, read_source_hashes
from model_cache.reasons import Reason
from tests.support.cache_trees import SENTIMENT, SENTIMENT_FILES, CacheTree
from tests.support.prepared_forms import FILES, PASSED, form_of, write_form
from tests.unit.cache_warmer.prepared.conftest import ASKS_INT8, RecordedLease, publisher


def names_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def assert_nothing_is_published(tree: CacheTree) -> None:
    assert names_below(prepared_folder(tree.places)) == set()


def test_a_form_is_published_with_its_files_and_is_found(
    tree: CacheTree, lease: RecordedLease, folder: Path
) -> None:
    (published,) = publisher(tree, lease).run([folder])

    assert (published.outcome, published.asked, lease.holds) == (Outcome.PUBLISHED, True, 1)
    assert names_below(Path(published.path)) == names_below(folder) == {*FILES, "form.json"}
    for name in names_below(folder):
        assert (Path(published.path) / name).read_bytes() == (folder / name).read_bytes()
    hashes = read_source_hashes(SENTIMENT, tree.places)
    assert hashes is not None
    stored = find(tree.places, "mood", hashes, ASKS_INT8.serving.precision)
    assert stored is not None
    assert (str(stored.folder), stored.digest) == (published.path, published.digest)


def test_files_and_folders_can_be_read_by_all_pods(
    tree: CacheTree, lease: RecordedLease, folder: Path
) -> None:
    former = os.umask(0o077)
    try:
        (published,) = publisher(tree, lease).run([folder])
    finally:
        os.umask(former)
    for path in (prepared_folder(tree.places), *prepared_folder(tree.places).rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path
    assert Path(published.path).is_dir()


def test_a_form_that_is_there_is_not_written_again(
    tree: CacheTree, lease: RecordedLease, folder: Path
) -> None:
    (first,) = publisher(tree, lease).run([folder])
    before = {path: path.stat() for path in Path(first.path).rglob("*")}

    (second,) = publisher(tree, lease).run([folder])

    assert second.outcome is Outcome.UNCHANGED
    assert {path: path.stat() for path in Path(first.path).rglob("*")} == before


def test_the_form_that_is_published_last_counts_and_an_older_one_can_be_renewed(
    tree: CacheTree, lease: RecordedLease, folder: Path, tmp_path: Path
) -> None:
    write_form(tmp_path / "other", form_of(SENTIMENT, SENTIMENT_FILES, recipe={"method": "other"}))
    hashes = read_source_hashes(SENTIMENT, tree.places)
    assert hashes is not None

    def newest() -> str:
        stored = find(tree.places, "mood", hashes, ASKS_INT8.serving.precision)
        return stored.digest if stored is not None else ""

    (first,) = publisher(tree, lease).run([folder])
    (second,) = publisher(tree, lease).run([tmp_path / "other"])
    assert newest() == second.digest != first.digest
    (renewed,) = publisher(tree, lease).run([folder])
    assert renewed.outcome is Outcome.RENEWED
    assert newest() == first.digest


def test_a_damaged_form_is_replaced(tree: CacheTree, lease: RecordedLease, folder: Path) -> None:
    (first,) = publisher(tree, lease).run([folder])
    damaged = Path(first.path) / "notes.txt"
    damaged.write_bytes(b"SHARED")

    (second,) = publisher(tree, lease).run([folder])

    assert second.outcome is Outcome.PUBLISHED
    assert damaged.read_bytes() == FILES["notes.txt"]
    assert names_below(prepared_folder(tree.places) / "mood") == {
        f"{Path(first.path).name}/{name}" for name in (*FILES, "form.json")
    }


@pytest.mark.parametrize(
    "gate",
    [
        Gate(False, 200, PASSED),
        Gate(True, 200, {**PASSED, "third": {"cosine": GateFigure(0.9, 0.99, True)}}),
        Gate(True, 200, {}),
    ],
)
def test_a_form_that_did_not_pass_its_gate_is_refused(
    tree: CacheTree, lease: RecordedLease, tmp_path: Path, gate: Gate
) -> None:
    write_form(tmp_path / "bad", form_of(SENTIMENT, SENTIMENT_FILES, gate=gate))

    with pytest.raises(GateFailed) as refusal:
        publisher(tree, lease).run([tmp_path / "bad"])

    assert refusal.value.reason.exit_code == 14
    assert_nothing_is_published(tree)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda form: (form / "notes.txt").unlink(), "notes.txt is missing"),
        (lambda form: (form / "notes.txt").write_bytes(b"longer than that"), "16 bytes"),
        (lambda form: (form / "notes.txt").write_bytes(b"SHARED"), "has the sha256"),
        (lambda form: (form / "more.txt").write_bytes(b""), "more.txt is not in its record"),
        (lambda form: (form / ".hidden").write_bytes(b""), ".hidden is not in its record"),
        (lambda form: (form / "empty").mkdir(), "empty is a folder without a file"),
        (lambda form: (form / "x\n").write_bytes(b""), r"x\\n is not in its record"),
        (lambda form: (form / "form.json").unlink(), "cannot be read"),
        (lambda form: os.truncate(form / "form.json", 50), "not be trusted|that can be trusted"),
        (lambda form: os.mkfifo(form / "fifo"), "fifo is no regular file"),
        (lambda form: link_instead(form / "notes.txt"), "notes.txt is a link"),
        (lambda form: link_instead(form / "torch-dynamic"), "torch-dynamic is a link"),
    ],
)
def test_a_folder_that_differs_from_its_record_is_refused(
    tree: CacheTree, lease: RecordedLease, folder: Path, spoil: Callable[[Path], object], message: str
) -> None:
    spoil(folder)

    with pytest.raises(FormRefused, match=message):
        publisher(tree, lease).run([folder])

    assert_nothing_is_published(tree)


def link_instead(path: Path) -> None:
    path.rename(path.parent.parent / "moved")
    path.symlink_to(path.parent.parent / "moved")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (ASKS_INT8._replace(key="other"), "form of mood"),
        (ASKS_INT8._replace(source=HuggingFaceSource("org/mood", "b" * 40, ("*",))), "was made from"),
        (ASKS_INT8._replace(source=HuggingFaceSource("org/other", "a" * 40, ("*",))), "was made from"),
        (ASKS_INT8._replace(task=Task.EMBEDDING), "was made for sentiment"),
    ],
)
def test_a_form_of_another_model_than_the_catalogs_is_refused(
    tree: CacheTree, lease: RecordedLease, folder: Path, model: Model, message: str
) -> None:
    with pytest.raises(FormRefused, match=message):
        publisher(tree, lease, model).run([folder])


def test_a_form_of_other_weights_than_the_caches_is_refused(
    tree: CacheTree, lease: RecordedLease, tmp_path: Path
) -> None:
    write_form(tmp_path / "x", form_of(SENTIMENT, {**SENTIMENT_FILES, "model.safetensors": b"other"}))

    with pytest.raises(FormRefused, match=r"was made from model\.safetensors"):
        publisher(tree, lease).run([tmp_path / "x"])


def test_a_form_of_a_model_that_is_not_complete_waits_for_it(
    tree: CacheTree, lease: RecordedLease, folder: Path
) -> None:
    tree.record(SENTIMENT).unlink()

    with pytest.raises(ModelCacheError) as refusal:
        publisher(tree, lease).run([folder])

    assert refusal.value.reason is Reason.CACHE_INCOMPLETE
    assert "cache-warmer warm --model mood" in refusal.value.remedy


def test_one_refused_form_leaves_the_others_unpublished(
    tree: CacheTree, lease: RecordedLease, folder: Path, tmp_path: Path
) -> None:
    write_form(tmp_path / "bad", form_of(SENTIMENT, SENTIMENT_FILES, gate=Gate(False, 9, PASSED)))

    with pytest.raises(GateFailed):
        publisher(tree, lease).run([folder, tmp_path / "bad"])

    assert lease.holds == 0
    assert_nothing_is_published(tree)


def test_without_enough_space_nothing_is_written(tree: CacheTree, lease: RecordedLease, folder: Path) -> None:
    def no_space(_: Path) -> FreeSpace:
        return FreeSpace(1, 100, None)

    with pytest.raises(NoSpace):
        publisher(tree, lease, free_space=no_space).run([folder])
    assert_nothing_is_published(tree)


def test_a_lost_lease_publishes_nothing_and_leaves_no_staging(
    tree: CacheTree, lease: RecordedLease, folder: Path
) -> None:
    def lost() -> None:
        raise LeaseLost("lost", "wait")

    lease.on_check = lost

    with pytest.raises(LeaseLost):
        publisher(tree, lease).run([folder])
    assert_nothing_is_published(tree)


def test_a_link_that_leads_out_of_the_cache_is_not_followed(
    tree: CacheTree, lease: RecordedLease, folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    prepared_folder(tree.places).symlink_to(outside)

    with pytest.raises(VolumeUnsuitable):
        publisher(tree, lease).run([folder])
    assert list(outside.iterdir()) == []


def test_forms_below_a_folder_are_found(folder: Path, tmp_path: Path) -> None:
    write_form(tmp_path / "all/b", form_of(SENTIMENT, SENTIMENT_FILES))
    write_form(tmp_path / "all/a", form_of(SENTIMENT, SENTIMENT_FILES))
    (tmp_path / "all/c").mkdir()

    assert find_forms(tmp_path / "all") == [tmp_path / "all/a", tmp_path / "all/b"]
    assert find_forms(folder) == []
    with pytest.raises(UsageError):
        find_forms(tmp_path / "none")
