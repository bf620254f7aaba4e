"""The writer of a form: staging, its removal, and readers of a form that is replaced."""

import os
from pathlib import Path

import pytest

from cache_warmer.prepared.publication import Outcome
from cache_warmer.prepared.writer import FormWriter
from model_cache.prepared_form import dump_form
from model_cache.prepared_store import list_folders
from tests.support.cache_trees import SENTIMENT, SENTIMENT_FILES, CacheTree
from tests.support.prepared_forms import FILES, form_of, write_form
from tests.unit.cache_warmer.prepared.conftest import RecordedLease, publisher


@pytest.fixture
def writer(tree: CacheTree) -> FormWriter:
    form = form_of(SENTIMENT, SENTIMENT_FILES)
    return FormWriter(tree.places, form, dump_form(form))


def test_a_staging_folder_is_no_form(writer: FormWriter, tree: CacheTree) -> None:
    with writer.staged() as staging:
        writer.write(staging, writer.form.files[0], [FILES[writer.form.files[0].path]])
        assert list_folders(tree.places) == ()


def test_a_staging_folder_goes_after_a_failure(writer: FormWriter) -> None:
    def fail() -> None:
        with writer.staged() as staging:
            assert staging.is_dir()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(writer.folder.parent.iterdir()) == []


def test_what_a_killed_writer_left_is_removed_by_the_next_one(
    writer: FormWriter, tree: CacheTree, lease: RecordedLease, folder: Path
) -> None:
    abandoned = writer.folder.with_name(f".{writer.folder.name}.form-0123456789ab.incomplete")
    abandoned.mkdir(parents=True)
    (abandoned / "notes.txt").write_bytes(b"half")

    (published,) = publisher(tree, lease).run([folder])

    assert published.outcome is Outcome.PUBLISHED
    assert list(writer.folder.parent.iterdir()) == [writer.folder]


def test_the_staging_folder_of_a_live_writer_stays(writer: FormWriter) -> None:
    with writer.staged() as first, writer.staged():
        assert first.is_dir()


def test_a_reader_keeps_the_file_of_a_form_that_is_replaced(
    writer: FormWriter, tree: CacheTree, lease: RecordedLease, folder: Path
) -> None:
    publisher(tree, lease).run([folder])
    (writer.folder / "notes.txt").write_bytes(b"SHARED")
    with (writer.folder / "notes.txt").open("rb") as reader:
        publisher(tree, lease).run([folder])
        assert reader.read() == b"SHARED"
    assert (writer.folder / "notes.txt").read_bytes() == FILES["notes.txt"]


def test_a_clock_that_is_ahead_does_not_decide_which_form_counts(
    tree: CacheTree, lease: RecordedLease, folder: Path, tmp_path: Path
) -> None:
    (first,) = publisher(tree, lease).run([folder])
    os.utime(Path(first.path) / "form.json", (9e9, 9e9))
    write_form(tmp_path / "later", form_of(SENTIMENT, SENTIMENT_FILES, recipe={"method": "later"}))

    (second,) = publisher(tree, lease).run([tmp_path / "later"])

    assert [str(each.path) for each in list_folders(tree.places)] == [second.path, first.path]
