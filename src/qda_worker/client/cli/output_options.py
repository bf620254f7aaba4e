"""The format of an output file, from its name and `--format`. Imports no gRPC."""

from pathlib import Path
from typing import Final

from model_cache.errors import UsageError
from qda_worker.client.cli.connection import Format
from qda_worker.client.tables.file_formats import FileFormat

_FILE_FORMATS: Final = {
    Format.JSONL: FileFormat.JSONL,
    Format.CSV: FileFormat.CSV,
    Format.XLSX: FileFormat.XLSX,
    Format.PARQUET: FileFormat.PARQUET,
    Format.QDPX: FileFormat.QDPX,
    Format.QDC: FileFormat.QDC,
    Format.CONLLU: FileFormat.CONLLU,
}
_NO_FILE: Final = (
    "give --format jsonl, csv, xlsx, parquet, qdpx, qdc or conllu, or a name that ends so; for json and table use "
    '"> FILE"'
)


def file_format(path: Path, form: Format, *, given: bool) -> FileFormat:
    """Return the format of an output file: the one that was given, else that of its name.

    Raises:
        UsageError: when it is none that is written to files.
    """
    named = {each.value: each for each in FileFormat}.get(path.suffix.lower())
    chosen = _FILE_FORMATS.get(form) if given or named is None else named
    if chosen is None:
        raise UsageError(f"the format of {path} is not known", _NO_FILE)
    return chosen
