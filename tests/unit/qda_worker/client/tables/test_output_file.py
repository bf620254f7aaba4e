"""Files of runs that are interrupted: resumed exactly, refused, locked, on a full disk."""

import json
import resource
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from model_cache.errors import ModelCacheError, UsageError
from model_cache.json_values import dump_json_line
from model_cache.reasons import Reason
from qda_worker.client.tables.conversion import convert
from qda_worker.client.tables.csv_table import CsvStyle
from qda_worker.client.tables.file_formats import FileFormat
from qda_worker.client.tables.output_file import IfExists, OutputFile, partial_path
from tests.support.result_records import OPTIONS, entity_record, sentiment_record


def write(path: Path, form: FileFormat, count: int, *, if_exists: IfExists = IfExists.REFUSE) -> OutputFile:
    """Write the results of as many texts, except those that are there."""
    output = OutputFile(path, form, OPTIONS["sentiment"], if_exists=if_exists)
    try:
        output.add(sentiment_record(str(each)) for each in range(count) if not output.was_answered(str(each)))
    except ModelCacheError:
        output.close()
        raise
    return output


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """Let a write beyond this size of a file fail, as on a full disk."""
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("form", [FileFormat.JSONL, FileFormat.CSV])
def test_a_file_is_continued_wherever_it_was_cut(tmp_path: Path, form: FileFormat) -> None:
    whole_file, file = tmp_path / "whole", tmp_path / "cut"
    write(whole_file, form, 5).finish()
    whole = whole_file.read_bytes()
    for size in range(0, len(whole) + 1, 37):
        file.write_bytes(whole[:size])
        write(file, form, 5, if_exists=IfExists.RESUME).finish()
        assert file.read_bytes() == whole, size


@pytest.mark.parametrize("form", [FileFormat.XLSX, FileFormat.PARQUET])
def test_a_table_that_is_made_at_the_end_is_continued_from_its_record(
    tmp_path: Path, form: FileFormat
) -> None:
    pytest.importorskip("openpyxl")
    pytest.importorskip("pyarrow")
    file = tmp_path / f"r{form.value}"
    write(file, form, 3).close()
    assert not file.exists()
    with partial_path(file).open("ab") as partial:
        partial.write(b'{"id": "3", "te')
    write(file, form, 5, if_exists=IfExists.RESUME).finish()
    assert file.exists()
    assert not partial_path(file).exists()
    assert OutputFile(file, form, OPTIONS["sentiment"], if_exists=IfExists.RESUME).is_complete


@pytest.mark.parametrize("form", [FileFormat.JSONL, FileFormat.CSV])
def test_a_file_that_exists_is_refused_with_what_to_do(tmp_path: Path, form: FileFormat) -> None:
    write(tmp_path / "r", form, 1).finish()
    with pytest.raises(UsageError, match="exists") as error:
        write(tmp_path / "r", form, 1)
    assert "--resume" in error.value.remedy
    assert "--overwrite" in error.value.remedy


def test_a_run_without_a_result_leaves_everything_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    OutputFile(file, FileFormat.JSONL, OPTIONS["sentiment"]).close()
    assert not file.exists()
    file.write_text("former")
    OutputFile(file, FileFormat.JSONL, OPTIONS["sentiment"], if_exists=IfExists.OVERWRITE).close()
    assert file.read_text() == "former"


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    with closing(write(file, FileFormat.JSONL, 1)), pytest.raises(UsageError, match="another run writes"):
        write(file, FileFormat.JSONL, 1, if_exists=IfExists.RESUME)


@pytest.mark.parametrize("form", [FileFormat.JSONL, FileFormat.CSV])
def test_results_of_other_options_are_not_mixed(tmp_path: Path, form: FileFormat) -> None:
    write(tmp_path / "r", form, 1).finish()
    options = {**OPTIONS["sentiment"], "long_texts": "window"}
    with pytest.raises(UsageError, match="long_texts=cut"):
        OutputFile(tmp_path / "r", form, options, if_exists=IfExists.RESUME)


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_text('{"name": 1}\n{"name": 2}\n')
    with pytest.raises(UsageError, match="line 1: found no result"):
        write(tmp_path / "r.jsonl", FileFormat.JSONL, 1, if_exists=IfExists.RESUME)


@pytest.mark.parametrize(
    "content", ['{"name": 1}', '{"name": 1}\n', "gut", '{"id": "1", "text": "gut"}', '{"id": 1}\n', "{}\n"]
)
def test_a_file_of_one_line_of_another_program_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(content)
    with pytest.raises(UsageError, match="line 1: found no result"):
        write(file, FileFormat.JSONL, 1, if_exists=IfExists.RESUME)
    assert file.read_text() == content


@pytest.mark.parametrize("form", [FileFormat.JSONL, FileFormat.CSV])
def test_an_id_that_utf8_cannot_hold_is_found_again(tmp_path: Path, form: FileFormat) -> None:
    file, identifier = tmp_path / "r", "=a\udcff"
    output = OutputFile(file, form, OPTIONS["sentiment"])
    output.add([sentiment_record(identifier), sentiment_record("last")])
    output.finish()
    with closing(OutputFile(file, form, OPTIONS["sentiment"], if_exists=IfExists.RESUME)) as output:
        assert output.was_answered(identifier)


@pytest.mark.parametrize("form", [FileFormat.JSONL, FileFormat.CSV])
def test_a_full_disk_leaves_whole_results_that_are_continued(tmp_path: Path, form: FileFormat) -> None:
    file = tmp_path / "r"
    with file_limit(3_000), pytest.raises(ModelCacheError) as error:
        write(file, form, 50)
    assert error.value.reason is Reason.NO_SPACE
    assert f"--resume {file}" in error.value.remedy
    assert 1_000 < file.stat().st_size <= 3_000
    assert file.read_bytes().endswith(b"\n")
    write(file, form, 50, if_exists=IfExists.RESUME).finish()
    write(tmp_path / "whole", form, 50).finish()
    assert file.read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_device_is_written_as_it_is() -> None:
    with pytest.raises(ModelCacheError) as error:
        write(Path("/dev/full"), FileFormat.JSONL, 1, if_exists=IfExists.OVERWRITE)
    assert error.value.reason is Reason.NO_SPACE
    write(Path("/dev/null"), FileFormat.CSV, 1, if_exists=IfExists.RESUME).finish()
    assert Path("/dev/null").exists()


def test_each_line_is_a_record(tmp_path: Path) -> None:
    write(tmp_path / "r.jsonl", FileFormat.JSONL, 3).finish()
    records = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert [record["id"] for record in records] == ["0", "1", "2"]


@pytest.mark.parametrize("form", [FileFormat.CSV, FileFormat.QDPX])
@pytest.mark.parametrize("entities", [[{}], [1], "x", {"a": 1}, 5])
def test_a_damaged_record_is_refused(tmp_path: Path, form: FileFormat, entities: object) -> None:
    source, target = tmp_path / "r.jsonl", tmp_path / "table"
    record = entity_record("1", "Anna kam.", "Anna") | {"entities": entities}
    source.write_text(json.dumps(record) + "\n")
    with pytest.raises(UsageError, match=r"r\.jsonl has a result that is damaged"):
        convert(source, target, form, CsvStyle())
    assert not target.exists()


def test_an_interrupted_file_is_converted_after_what_the_remedy_says(tmp_path: Path) -> None:
    source = tmp_path / "r.jsonl"
    lines = [dump_json_line(sentiment_record(str(each))) + "\n" for each in range(3)]
    source.write_text("".join(lines)[:-40])
    with pytest.raises(UsageError, match="line 3: a run was interrupted here") as error:
        convert(source, tmp_path / "r.csv", FileFormat.CSV, CsvStyle())
    assert "--resume" in error.value.remedy
    assert "remove the last line" in error.value.remedy
