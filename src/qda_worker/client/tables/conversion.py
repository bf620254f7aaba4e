"""Convert a file of records to a table, a REFI-QDA project or CoNLL-U."""

from pathlib import Path
from typing import BinaryIO

from model_cache.errors import NO_SPACE_ERRNOS, UsageError
from model_cache.file_io import replacement
from qda_worker.client.tables import csv_table
from qda_worker.client.tables.conllu import ConlluWriter
from qda_worker.client.tables.csv_table import CsvStyle
from qda_worker.client.tables.file_formats import FileFormat, disk_full, encode, require_syntax
from qda_worker.client.tables.layout import layout_of
from qda_worker.client.tables.parquet_table import write_parquet
from qda_worker.client.tables.records import read_records
from qda_worker.client.tables.refi_qda.package import (
    ReadSource,
    creation_time,
    no_source,
    write_qdc,
    write_qdpx,
)
from qda_worker.client.tables.xlsx_table import write_xlsx


def convert(
    source: Path, target: Path, form: FileFormat, style: CsvStyle, read_source: ReadSource = no_source
) -> None:
    """Write the records of a file as a table to another one, which is replaced at the end if it exists.

    Args:
        source: the file of the records.
        target: the file that is written.
        form: its format.
        style: of CSV.
        read_source: returns the text of a source that a REFI-QDA project shows as it is; by default, of none.

    Raises:
        UsageError: when `source` has no records or a damaged one, or the package for the format is not installed.
        ModelCacheError: when the disk is full.
        OSError: when the target cannot be written.
    """
    if next(iter(read_records(source)), None) is None:
        raise UsageError(f"{source} has no results", "give a file with at least one")
    if form is FileFormat.JSONL:
        raise UsageError(f"{source} has that format already", "give a name that ends .csv, .xlsx or .qdpx")
    try:
        with replacement(target) as file:
            if form.is_table:
                _write_table(source, file, form, style)
            elif form is FileFormat.CONLLU:
                _write_conllu(source, file)
            else:
                _write_project(source, target.stem, file, form, read_source)
    except OSError as error:
        if error.errno in NO_SPACE_ERRNOS:
            raise disk_full(target, error) from error
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        problem = f"{source} has a result that is damaged ({type(error).__name__}: {error})"
        raise UsageError(problem, "give a file that qda-client --output has written") from error


def _write_table(source: Path, file: BinaryIO, form: FileFormat, style: CsvStyle) -> None:
    first = next(iter(read_records(source)))
    layout = layout_of(first.get("options") or {})
    if form is FileFormat.XLSX:
        write_xlsx(read_records(source), layout, file)
    elif form is FileFormat.PARQUET:
        write_parquet(lambda: read_records(source), layout, file)
    else:
        file.write(csv_table.header_lines(layout, style).encode())
        lines = (csv_table.row_lines(layout.rows(record), style) for record in read_records(source))
        file.writelines(encode(line) for line in lines)


def _write_conllu(source: Path, file: BinaryIO) -> None:
    require_syntax(next(iter(read_records(source))).get("options") or {})
    writer = ConlluWriter()
    for record in read_records(source):
        file.writelines(encode(block) for block in writer.blocks(record))


def _write_project(
    source: Path, name: str, file: BinaryIO, form: FileFormat, read_source: ReadSource
) -> None:
    if form is FileFormat.QDC:
        write_qdc(lambda: read_records(source), file)
        return
    write_qdpx(
        lambda: read_records(source),
        file,
        name=name,
        created=creation_time(source.stat().st_mtime),
        read_source=read_source,
    )
