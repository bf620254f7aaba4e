"""Read from a result file what computed it: JSON Lines, JSON, CSV, XLSX or Parquet, as `qda-client` writes them."""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree
from zipfile import BadZipFile

from model_cache.errors import UsageError
from qda_worker.client.extra_packages import import_package
from qda_worker.client.tables.layout import describe_options
from qda_worker.client.tables.records import provenances

# The columns of tables that tell what computed a row.
COLUMNS: Final = ("model", "model_source", "model_revision", "precision", "worker_version", "options")

_KEYS: Final = ("model", "source", "revision", "precision", "worker_version")

# Bytes of a file that tell its format.
_MAGIC_BYTES: Final = 4

_REMEDY: Final = "give a file that qda-client --output has written, or the output of --format json"


@dataclass(frozen=True, slots=True)
class Computation:
    """A model that computed results of a file.

    Attributes:
        model: its key in the worker's catalog.
        source: a repository of the Hugging Face Hub, or a spaCy package.
        revision: the repository's commit, or the package's version.
        precision: number format of the weights.
        worker_version: version of the worker.
        options: the command and its options; empty if the file does not tell.
    """

    model: str
    source: str
    revision: str
    precision: str
    worker_version: str
    options: str


def read_computations(path: Path) -> list[Computation]:
    """Return the models that computed the results of a file, each once, in the order of the file.

    Raises:
        UsageError: when the file cannot be read, or does not tell what computed it.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(_MAGIC_BYTES)
        if magic == b"PAR1":
            rows = _parquet_rows(path)
        elif magic.startswith(b"PK"):
            rows = _xlsx_rows(path)
        elif magic.startswith((b"{", b"[")):
            rows = _json_rows(path)
        else:
            rows = _csv_rows(path)
        found = list(dict.fromkeys(each for row in rows for each in _computations(row)))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "give a readable file") from error
    except (ValueError, KeyError, csv.Error, RecursionError) as error:
        raise UsageError(f"{path} is no result file ({error})", _REMEDY) from error
    if not found:
        raise UsageError(f"{path} does not tell what computed it", _REMEDY)
    return found


def _computations(row: tuple[str, ...]) -> Iterator[Computation]:
    *parts, options = row
    for model, source, revision, precision, version in zip(
        *(part.split("; ") for part in parts), strict=True
    ):
        if model:
            yield Computation(model, source, revision, precision, version, options)


def _json_rows(path: Path) -> Iterator[tuple[str, ...]]:
    with path.open("rb") as file:
        first = file.readline()
        try:
            is_lines = first.startswith(b"{") and isinstance(json.loads(first), dict)
        except ValueError:
            is_lines = False
        file.seek(0)
        records = map(json.loads, file) if is_lines else _documents(json.load(file))
        yield from dict.fromkeys(map(_json_row, records))


def _documents(value: Any) -> Iterable[Any]:
    """Return the parts of a JSON document with provenance: that of a list of texts, or an array of documents."""
    if isinstance(value, dict) and isinstance(value.get("provenances"), list):
        return [{"provenance": each} for each in value["provenances"]]
    return value if isinstance(value, list) else [value]


def _json_row(record: Any) -> tuple[str, ...]:
    if not isinstance(record, dict):
        raise ValueError("a result is no object")
    models = provenances(record)
    options = record.get("options")
    return (
        *("; ".join(str(each.get(key, "")) for each in models) for key in _KEYS),
        describe_options(options) if isinstance(options, Mapping) else "",
    )


def _csv_rows(path: Path) -> Iterator[tuple[str, ...]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
        file.seek(0)
        delimiter = max(";,\t|", key=header.count)
        yield from _table_rows(csv.reader(file, delimiter=delimiter))


def _xlsx_rows(path: Path) -> Iterator[tuple[str, ...]]:
    openpyxl: Any = import_package("openpyxl", "XLSX")
    try:
        with path.open("rb") as file:
            for sheet in openpyxl.load_workbook(file, read_only=True).worksheets:
                yield from _table_rows([str(cell or "") for cell in row] for row in sheet.values)
    except (BadZipFile, ElementTree.ParseError) as error:
        raise ValueError(str(error)) from error


def _parquet_rows(path: Path) -> Iterator[tuple[str, ...]]:
    parquet: Any = import_package("pyarrow.parquet", "PARQUET")
    table = parquet.read_table(path, columns=list(COLUMNS))
    for row in table.group_by(list(COLUMNS)).aggregate([]).to_pylist():
        yield tuple(str(row[name] or "") for name in COLUMNS)


def _table_rows(rows: Iterable[list[str]]) -> Iterator[tuple[str, ...]]:
    iterator = iter(rows)
    header = next(iterator, [])
    places = [header.index(name) for name in COLUMNS]
    # A row may be empty, or end early where a run was interrupted.
    whole = (row for row in iterator if len(row) > max(places))
    yield from dict.fromkeys(tuple(row[place] for place in places) for row in whole)
