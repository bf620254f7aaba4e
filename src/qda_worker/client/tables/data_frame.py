"""Results as data frames of pandas or polars. The columns are those of the tables (`layout`), and so are the rows.

The columns grow while results arrive, so that a stream of results needs no list of them. Vectors are not converted to
Python's numbers: cells of pandas are the arrays of the results themselves, and polars copies them once.
"""

from array import array
from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, overload

from model_cache.errors import UsageError
from qda_worker.client.extra_packages import import_package, is_installed
from qda_worker.client.readers.segment import Segment
from qda_worker.client.results import (
    AnalysisProvenance,
    Answer,
    DocumentAnalysis,
    Embedding,
    Entities,
    PairScore,
    Paraphrases,
    Provenance,
    Sentiment,
    Syntax,
)
from qda_worker.client.tables.layout import Cell, Column, Kind, layout_of, without_half_characters
from qda_worker.client.tables.records import Record, TextResult, to_record
from qda_worker.client.texts import Pair, Text, check_is_list

if TYPE_CHECKING:
    import pandas
    import polars

Library: TypeAlias = Literal["pandas", "polars"]
SentText: TypeAlias = str | Text | Segment
SentPair: TypeAlias = Pair | tuple[str | Text, str | Text]
Sent: TypeAlias = SentText | SentPair

_COMMANDS: Final[Mapping[type[TextResult], str]] = {
    Sentiment: "sentiment",
    Entities: "entities",
    Syntax: "syntax",
    Embedding: "embed",
    PairScore: "pairs",
}
_MULTI_VECTOR: Final = Column("multi_vector", Kind.MATRIX)
_NEEDED_FOR: Final = "a data frame"


@overload
def to_dataframe(
    results: Iterable[TextResult] | Paraphrases,
    texts: Iterable[Sent] | None = None,
    others: Iterable[SentText] | None = None,
    *,
    library: Literal["pandas"],
) -> "pandas.DataFrame": ...
@overload
def to_dataframe(
    results: Iterable[TextResult] | Paraphrases,
    texts: Iterable[Sent] | None = None,
    others: Iterable[SentText] | None = None,
    *,
    library: Literal["polars"],
) -> "polars.DataFrame": ...
@overload
def to_dataframe(
    results: Iterable[TextResult] | Paraphrases,
    texts: Iterable[Sent] | None = None,
    others: Iterable[SentText] | None = None,
    *,
    library: Library | None = None,
) -> Any: ...
def to_dataframe(
    results: Iterable[TextResult] | Paraphrases,
    texts: Iterable[Sent] | None = None,
    others: Iterable[SentText] | None = None,
    *,
    library: Library | None = None,
) -> Any:  # Any: which library is installed is not known to a type checker
    """Return results as a data frame. It has the columns of the tables that `qda-client` writes (docs/results.md).

    >>> texts = ["Ich war froh.", "Das ärgert mich."]
    >>> frame = to_dataframe(client.sentiment(texts), texts)
    >>> frame["sentiment"].value_counts()

    Args:
        results: the answer of a call, an iterator of results, or the result of a search for paraphrases.
        texts: what was sent, in its order: texts, segments of `read_corpus`, or pairs; None: the columns of texts and
            sources are empty. It may be longer than `results`, as for those of a call that failed.
        others: the other texts of a search for paraphrases, if it was between two lists.
        library: `pandas` or `polars`; None: pandas if it is installed, else polars.

    Raises:
        UsageError: when the library is not installed, there are more results than texts, or the vectors of an iterator
            have several sizes.
        TypeError: when `texts` is a single text, or has pairs where texts are expected or the reverse.
        ClientError: when `results` is an iterator of a call that fails.
    """
    build = _builder(library)
    if isinstance(results, Paraphrases):
        return build(*_paraphrase_columns(results, texts, others))
    if not isinstance(results, Iterable):
        raise TypeError("results is an asynchronous iterator: use `await to_dataframe_async(...)`")
    columns = _ResultColumns(texts, results.provenances if isinstance(results, Answer) else ())
    for result in results:
        columns.add(result)
    return build(*columns.finish())


@overload
async def to_dataframe_async(
    results: AsyncIterable[TextResult], texts: Iterable[Sent] | None = None, *, library: Literal["pandas"]
) -> "pandas.DataFrame": ...
@overload
async def to_dataframe_async(
    results: AsyncIterable[TextResult], texts: Iterable[Sent] | None = None, *, library: Literal["polars"]
) -> "polars.DataFrame": ...
@overload
async def to_dataframe_async(
    results: AsyncIterable[TextResult], texts: Iterable[Sent] | None = None, *, library: Library | None = None
) -> Any: ...
async def to_dataframe_async(
    results: AsyncIterable[TextResult], texts: Iterable[Sent] | None = None, *, library: Library | None = None
) -> Any:  # Any: as for `to_dataframe`
    """Return the results of an asynchronous iterator as a data frame; see `to_dataframe`, which is for lists.

    >>> frame = await to_dataframe_async(client.analyze(texts, [SentimentTask()]), texts)
    """
    build = _builder(library)
    columns = _ResultColumns(texts, ())
    async for result in results:
        columns.add(result)
    return build(*columns.finish())


# --- results to columns -----------------------------------------------------------------------------------------------


class _ResultColumns:
    """The cells of results of one kind, column by column."""

    def __init__(self, texts: Iterable[Sent] | None, provenances: Sequence[Provenance]) -> None:
        if texts is not None:
            check_is_list(texts, "texts")
        self._texts = None if texts is None else iter(texts)
        self._provenances = provenances
        self._kind: type[TextResult] | None = None
        self._layout = layout_of({"command": "analyze"})  # the columns that all tables have
        self._options: dict[str, object] = {}
        self._cells: list[list[Any]] = [[] for _ in self._layout.columns]
        self._multi_vectors: list[Any] = []
        self._count = 0

    def add(self, result: TextResult) -> None:
        """Add the rows of a result."""
        if self._kind is None:
            self._begin(result)
        elif type(result) is not self._kind:
            raise TypeError(
                f"results has a {self._kind.__name__} and a {type(result).__name__}: make a frame of each"
            )
        self._count += 1
        for row in self._layout.rows(self._record(result)):
            for column, cell in zip(self._cells, row, strict=True):
                column.append(cell)
        if isinstance(result, Embedding):
            self._multi_vectors.append(result.multi_vector)

    def finish(self) -> tuple[list[Column], list[list[Any]]]:
        """Return the columns and their cells."""
        columns = list(self._layout.columns)
        if self._texts is None:
            for name in ("text", "similar_text"):
                for place in [place for place, column in enumerate(columns) if column.name == name]:
                    self._cells[place] = [None] * len(self._cells[place])
        if any(each is not None for each in self._multi_vectors):
            place = columns.index(Column("error"))
            columns.insert(place, _MULTI_VECTOR)
            self._cells.insert(place, self._multi_vectors)
        return columns, self._cells

    def _begin(self, result: TextResult) -> None:
        self._kind = type(result)
        if isinstance(result, DocumentAnalysis):
            self._options = {"command": "analyze", "tasks": _tasks(result.provenance)}
        elif self._kind in _COMMANDS:
            self._options = {"command": _COMMANDS[self._kind]}
        else:
            raise TypeError(f"results has a {self._kind.__name__}, which is no result of a text")
        self._layout = layout_of(self._options)
        self._cells = [[] for _ in self._layout.columns]

    def _record(self, result: TextResult) -> Record:
        sent = self._next_text()
        provenance: Any = self._provenances
        if isinstance(result, PairScore):
            pair = self._pair(sent)
            first, second = _segment(pair.first), _segment(pair.second)
            segment = Segment(first.text, pair.id or result.id or str(self._count), "")
            return {
                **to_record(segment, result, provenance, self._options),
                "similar_text": second.text,
            }
        if isinstance(sent, Pair | tuple):
            raise TypeError(f"texts[{self._count - 1}] is a pair, but the result is that of one text")
        segment = _segment("" if sent is None else sent)
        segment = replace(segment, id=segment.id or result.id or str(self._count))
        if isinstance(result, DocumentAnalysis):
            provenance = result.provenance
        record = to_record(segment, _without_vectors(result), provenance, self._options)
        if isinstance(result, Embedding):
            record["dense"] = result.dense
        elif isinstance(result, DocumentAnalysis):
            for part, embedding in zip(record["embeddings"], result.embeddings, strict=True):
                part["dense"] = embedding.dense
        return record

    def _pair(self, sent: Sent | None) -> Pair:
        if sent is None:
            return Pair("", "")
        if isinstance(sent, tuple):
            return Pair(*sent)
        if not isinstance(sent, Pair):
            raise TypeError(f"texts[{self._count - 1}] is a text, but the result is that of a pair")
        return sent

    def _next_text(self) -> Sent | None:
        if self._texts is None:
            return None
        try:
            return next(self._texts)
        except StopIteration:
            raise UsageError(
                f"there are more results than the {self._count - 1} texts",
                "give the texts that were sent, in their order, as a list",
            ) from None


def _tasks(provenance: AnalysisProvenance) -> list[str]:
    return [
        *(["sentiment"] if provenance.sentiment else []),
        *(["entities"] if provenance.entities else []),
        *(["syntax"] if provenance.syntax else []),
        *("embedding" for _ in provenance.embeddings),
    ]


def _without_vectors(result: TextResult) -> TextResult:
    """Return a result whose vectors are left out, because its record would have them as lists of numbers."""
    if isinstance(result, Embedding):
        return replace(result, dense=None, multi_vector=None)
    if isinstance(result, DocumentAnalysis):
        parts = tuple(replace(each, dense=None, multi_vector=None) for each in result.embeddings)
        return replace(result, embeddings=parts)
    return result


def _segment(text: SentText) -> Segment:
    if isinstance(text, Segment):
        return text
    if isinstance(text, Text):
        return Segment(text.content, text.id, "")
    return Segment(text, "", "")


def _paraphrase_columns(
    found: Paraphrases, texts: Iterable[Sent] | None, others: Iterable[SentText] | None
) -> tuple[list[Column], list[list[Any]]]:
    layout = layout_of({"command": "paraphrases"})
    first = None if texts is None else _segments(texts, "texts")
    second = first if others is None else _segments(others, "others")
    rows = [
        row
        for pair in found.pairs
        for row in layout.rows(
            {"score": pair.score, "first": _side(first, pair.first), "second": _side(second, pair.second)}
        )
    ]
    return list(layout.columns), [list(cells) for cells in zip(*rows, strict=True)] or [
        [] for _ in layout.columns
    ]


def _segments(texts: Iterable[Sent], name: str) -> list[Segment]:
    check_is_list(texts, name)
    segments = []
    for index, each in enumerate(texts):
        if isinstance(each, Pair | tuple):
            raise TypeError(f"{name}[{index}] is a pair, but a search for paraphrases is among texts")
        segments.append(_segment(each))
    return segments


def _side(texts: Sequence[Segment] | None, position: int) -> dict[str, str | None]:
    if texts is None:
        return {"id": str(position + 1), "text": None}
    if position >= len(texts):
        raise UsageError(
            f"a pair has text {position + 1}, but there are {len(texts)}",
            "give the texts that were sent, in their order",
        )
    return {"id": texts[position].id or str(position + 1), "text": texts[position].text}


# --- columns to a frame -----------------------------------------------------------------------------------------------


def _builder(library: Library | None) -> Any:
    """Return what makes a frame of columns and their cells.

    Raises:
        UsageError: when the library is not installed.
    """
    if library is None and not is_installed("pandas") and not is_installed("polars"):
        raise UsageError(
            f"{_NEEDED_FOR} needs the package pandas or polars, neither of which is installed",
            "pip install 'qda-worker[pandas]', or pip install 'qda-worker[polars]'",
        )
    if library is None:
        library = "pandas" if is_installed("pandas") else "polars"
    if library not in ("pandas", "polars"):
        raise UsageError(f'library is "{library}"', 'give "pandas" or "polars"')
    package: Any = import_package(library, _NEEDED_FOR)
    make_column = _pandas_column if library == "pandas" else _polars_column

    def build(columns: Sequence[Column], cells: Sequence[list[Any]]) -> Any:
        return package.DataFrame(
            {
                column.name: make_column(package, column, each)
                for column, each in zip(columns, cells, strict=True)
            }
        )

    return build


def _pandas_column(pandas: Any, column: Column, cells: list[Any]) -> Any:
    if column.kind is Kind.TEXT:
        return pandas.Series(_unicode(cells), dtype="string")
    types = {Kind.INTEGER: "Int64", Kind.NUMBER: "float64"}
    return pandas.Series(cells, dtype=types.get(column.kind, "object"))


def _polars_column(polars: Any, column: Column, cells: list[Any]) -> Any:
    if column.kind is Kind.TEXT:
        return polars.Series(_unicode(cells), dtype=polars.String)
    if column.kind is Kind.MATRIX:
        return polars.Series(cells, dtype=polars.List(polars.List(polars.Float32)))
    if column.kind is Kind.VECTOR:
        return _polars_vectors(polars, column, cells)
    return polars.Series(cells, dtype=polars.Int64 if column.kind is Kind.INTEGER else polars.Float64)


def _polars_vectors(polars: Any, column: Column, cells: list[Any]) -> Any:
    """Return a column of vectors of one size."""
    vectors = [cell for cell in cells if cell is not None]
    if not vectors:
        return polars.Series(cells, dtype=polars.List(polars.Float32))
    size = len(vectors[0])
    if other := next((len(each) for each in vectors if len(each) != size), 0):
        raise UsageError(
            f"the vectors in the column {column.name} have {size} and {other} dimensions",
            "make a frame of the results of each model",
        )
    dtype = polars.Array(polars.Float32, size)
    if isinstance(vectors[0], array):  # numpy is not installed
        return polars.Series([None if cell is None else cell.tolist() for cell in cells], dtype=dtype)
    import numpy

    # polars converts no list of arrays with gaps, so the gaps are made in what it has.
    places = iter(range(len(vectors)))
    order = [None if cell is None else next(places) for cell in cells]
    return polars.Series(numpy.stack(vectors), dtype=dtype).gather(polars.Series(order, dtype=polars.UInt32))


def _unicode(cells: Iterable[Cell]) -> list[Cell]:
    return [without_half_characters(cell) for cell in cells]
