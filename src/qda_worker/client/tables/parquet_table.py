"""Tables as Parquet, for data frames (pandas, polars, R's arrow, DuckDB). Vectors are lists of a fixed size.

pyarrow writes a row group after the other, so that memory holds one of them. The metadata of the schema has the models
and options as JSON, under `qda`.
"""

import json
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, BinaryIO, Final

from model_cache.errors import UsageError
from qda_worker.client.extra_packages import require_package
from qda_worker.client.tables.layout import Cell, Kind, Layout, without_half_characters
from qda_worker.client.tables.records import Record, provenances

# Rows in memory; those with vectors of 1,024 dimensions have 8 kB each as Python numbers.
_GROUP_ROWS: Final = 5_000


def write_parquet(records: Callable[[], Iterable[Record]], layout: Layout, file: BinaryIO) -> None:
    """Write the rows of all records to a file.

    Args:
        records: returns all records, each time it is called: the sizes of vectors are needed before the first row.
        layout: the columns.
        file: open for writing.

    Raises:
        UsageError: when pyarrow is not installed, or the vectors of a column have several sizes.
    """
    require_package("pyarrow", "PARQUET", "write csv")
    import pyarrow
    from pyarrow import parquet

    schema, sizes = _schema(pyarrow, records(), layout)
    rows = (row for record in records() for row in layout.rows(record))
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(islice(rows, _GROUP_ROWS)):
            writer.write_table(_table(pyarrow, group, layout, schema, sizes))
        if not writer.is_open:
            writer.write_table(schema.empty_table())


def _schema(pyarrow: Any, records: Iterable[Record], layout: Layout) -> tuple[Any, dict[int, int]]:
    """Return the schema of the file, and the size of the vectors of each column that has any."""
    vectors = {place for place, column in enumerate(layout.columns) if column.kind is Kind.VECTOR}
    sizes: dict[int, int] = {}
    first: Record | None = None
    for record in records:
        first = first or record
        for place in vectors - set(sizes):
            for row in layout.rows(record):
                cell = row[place]
                if isinstance(cell, list):
                    sizes[place] = len(cell)
        if vectors <= set(sizes):
            break
    types = {Kind.TEXT: pyarrow.string(), Kind.INTEGER: pyarrow.int64(), Kind.NUMBER: pyarrow.float64()}
    fields = [
        (
            column.name,
            pyarrow.list_(pyarrow.float32(), sizes.get(place, -1))
            if place in vectors
            else types[column.kind],
        )
        for place, column in enumerate(layout.columns)
    ]
    about: dict[str, Any] = {
        "models": provenances(first) if first else [],
        "options": first.get("options") if first else {},
    }
    return pyarrow.schema(fields, metadata={"qda": json.dumps(about, ensure_ascii=False)}), sizes


def _table(pyarrow: Any, rows: list[list[Cell]], layout: Layout, schema: Any, sizes: dict[int, int]) -> Any:
    for place, size in sizes.items():
        for row in rows:
            cell = row[place]
            if isinstance(cell, list) and len(cell) != size:
                raise UsageError(
                    f"the vectors in the column {layout.columns[place].name} have {size} and {len(cell)} dimensions",
                    "write the results of each model to a file of their own",
                )
    columns = [
        pyarrow.array([without_half_characters(row[place]) for row in rows], type=schema.field(place).type)
        for place in range(len(layout.columns))
    ]
    return pyarrow.Table.from_arrays(columns, schema=schema)
