"""Which files become sources of a project: those of the run or of a named folder, and no others."""

from pathlib import Path
from typing import Final
from zipfile import ZipFile

from model_cache.json_values import dump_json_line
from qda_worker.client.readers.segment import Place, PlaceUnit
from qda_worker.client.tables.conversion import convert
from qda_worker.client.tables.csv_table import CsvStyle
from qda_worker.client.tables.file_formats import FileFormat
from qda_worker.client.tables.output_file import OutputFile
from qda_worker.client.tables.records import Record
from qda_worker.client.tables.refi_qda.package import ReadSource, no_source
from qda_worker.client.tables.refi_qda.source_files import sources_among, sources_below
from tests.support.result_records import OPTIONS, sentiment_record

SECRET: Final = "Das hilft. Und dies ist geheim."


def record(source: Path) -> Record:
    """Return the record of a text that is at the beginning of this file."""
    source.write_text(SECRET, encoding="utf-8")
    return sentiment_record("1", place=Place(PlaceUnit.PARAGRAPH, 1, 0, 10)) | {"source": str(source)}


def shows_all(project: Path) -> bool:
    """Return whether a source of the project has more than the text of the record."""
    with ZipFile(project) as archive:
        return any(b"geheim" in archive.read(name) for name in archive.namelist())


def test_a_result_file_does_not_choose_what_is_read(tmp_path: Path) -> None:
    results, project = tmp_path / "r.jsonl", tmp_path / "p.qdpx"
    results.write_text(dump_json_line(record(tmp_path / "a.txt")) + "\n")
    chosen: dict[str, ReadSource] = {
        "none": no_source,
        "other": sources_below(tmp_path / "other"),
        "folder": sources_below(tmp_path),
    }
    found = {}
    for name, read_source in chosen.items():
        convert(results, project, FileFormat.QDPX, CsvStyle(), read_source)
        found[name] = shows_all(project)
    assert found == {"none": False, "other": False, "folder": True}
    convert(results, project, FileFormat.QDPX, CsvStyle())
    assert not shows_all(project)


def test_a_run_reads_only_its_own_input_again(tmp_path: Path) -> None:
    for is_input in (False, True):
        project = tmp_path / f"{is_input}.qdpx"
        output = OutputFile(project, FileFormat.QDPX, OPTIONS["sentiment"])
        if is_input:
            output.sources.add(str(tmp_path / "a.txt"))
        output.add([record(tmp_path / "a.txt")])
        output.finish()
        assert shows_all(project) is is_input


def test_links_and_parent_folders_lead_out_of_no_folder(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "a.txt"
    folder.mkdir()
    outside.write_text(SECRET)
    (folder / "link.txt").symlink_to(outside)
    (folder / "b.txt").write_text("gut")
    read = sources_below(folder)
    for name in (outside, folder / "link.txt", folder / ".." / "a.txt", "a\0b"):
        assert read(str(name)) is None
    assert read(str(folder / "b.txt")) == "gut"
    assert sources_among({str(outside)})(str(outside)) == SECRET
    assert sources_among({"x.csv"})("x.csv") is None
