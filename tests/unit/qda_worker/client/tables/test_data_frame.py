"""Data frames have the rows and columns of the tables that the program writes, in pandas and in polars."""

import csv
import io
from array import array
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any, Final, assert_type

import pytest

from model_cache.errors import UsageError
from qda_worker.client import Answer, Pair, Segment, Text, Timings, to_dataframe, to_dataframe_async
from qda_worker.client.enums import Offsets, SentimentLabel
from qda_worker.client.results import (
    AnalysisProvenance,
    DocumentAnalysis,
    Embedding,
    Entities,
    Entity,
    ItemError,
    PairScore,
    Paraphrase,
    Paraphrases,
    Probabilities,
    Sentence,
    Sentiment,
    SparseVector,
)
from qda_worker.client.tables.csv_table import CsvStyle, header_lines, row_lines
from qda_worker.client.tables.data_frame import Library
from qda_worker.client.tables.layout import layout_of
from qda_worker.client.tables.records import to_record
from tests.support.result_records import MODEL, USAGE

LIBRARIES: Final[tuple[Library, Library]] = ("pandas", "polars")
SCORES: Final = Probabilities(0.75, 0.2, 0.05)
SEGMENTS: Final = [
    Segment("=Das hilft. Gut.", "B1", "a.csv", speaker="Anna", start=1.5),
    Segment("", "2", "a.csv"),
    Segment("Köln \ud83d", "3", "a.csv"),
]
ERROR: Final = ItemError("TEXT_EMPTY", "the text has no characters")
SENTIMENTS: Final = [
    Sentiment(
        "B1",
        None,
        SentimentLabel.POSITIVE,
        SCORES,
        USAGE,
        (Sentence(0, 11, SentimentLabel.NEGATIVE, SCORES, USAGE),),
        Offsets.CODE_POINTS,
    ),
    Sentiment("2", ERROR, None, None, None),
    Sentiment("3", None, SentimentLabel.NEUTRAL, SCORES, USAGE),
]
ENTITIES: Final = [
    Entities("B1", None, (Entity("Gut", "ORG", "ORG", 12, 15),), USAGE, Offsets.CODE_POINTS),
    Entities("2", ERROR, (), None, None),
    Entities("3", None, (), USAGE, Offsets.CODE_POINTS),
]


def vector(*numbers: float) -> Any:
    import numpy

    return numpy.array(numbers, dtype="float32")


def answer(results: list[Any]) -> Answer[Any]:
    return Answer(tuple(results), (MODEL,), Timings())


def rows_of(frame: Any) -> list[dict[str, Any]]:
    """Return the rows of a frame of either library, without what marks missing values."""
    if hasattr(frame, "to_dicts"):
        found: list[dict[str, Any]] = frame.to_dicts()
        return found
    import pandas

    return [
        {
            key: None if pandas.api.types.is_scalar(each) and pandas.isna(each) else each
            for key, each in row.items()
        }
        for row in frame.to_dict("records")
    ]


def csv_rows(command: str, results: list[Any]) -> list[dict[str, str]]:
    layout = layout_of({"command": command})
    records = (
        to_record(segment, result, MODEL, {"command": command})
        for segment, result in zip(SEGMENTS, results, strict=True)
    )
    style = CsvStyle(",", ".")
    text = header_lines(layout, style) + "".join(row_lines(layout.rows(each), style) for each in records)
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize(("command", "results"), [("sentiment", SENTIMENTS), ("entities", ENTITIES)])
def test_a_frame_and_a_csv_file_of_the_same_results_agree(
    command: str, results: list[Any], library: Library
) -> None:
    found = rows_of(answer(results).to_dataframe(SEGMENTS, library=library))
    expected = csv_rows(command, results)
    assert [list(row) for row in found] == [list(row) for row in expected]
    for row, line in zip(found, expected, strict=True):
        cells = {key: "" if each is None else each for key, each in row.items()}
        shown = {key: f"{each:.9g}" if isinstance(each, float) else str(each) for key, each in cells.items()}
        assert shown == {**line, "text": line["text"].removeprefix("'").replace("\ud83d", "?")}


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_iterator_gives_the_same_frame_as_the_list(library: Library) -> None:
    def stream() -> Iterator[Sentiment]:
        yield from SENTIMENTS

    listed = rows_of(to_dataframe(SENTIMENTS, SEGMENTS, library=library))
    assert rows_of(to_dataframe(stream(), iter(SEGMENTS), library=library)) == listed


@pytest.mark.parametrize("library", LIBRARIES)
async def test_an_asynchronous_iterator_gives_the_same_frame_as_the_list(library: Library) -> None:
    async def stream() -> AsyncIterator[Entities]:
        for each in ENTITIES:
            yield each

    frame = await to_dataframe_async(stream(), SEGMENTS, library=library)
    assert rows_of(frame) == rows_of(to_dataframe(ENTITIES, SEGMENTS, library=library))
    with pytest.raises(TypeError, match="to_dataframe_async"):
        to_dataframe(stream())  # type: ignore[call-overload]


def test_vectors_in_pandas_are_the_arrays_of_the_results() -> None:
    import numpy

    dense = vector(1, 2)
    results = [Embedding("1", None, USAGE, dense), Embedding("2", ERROR, None)]
    frame = to_dataframe(results, ["gut", ""], library="pandas")
    assert numpy.shares_memory(frame["vector"][0], dense)
    assert frame["vector"][1] is None
    assert frame["dimensions"].tolist()[0] == 2


def test_the_type_of_a_frame_follows_the_library() -> None:
    import polars

    assert_type(to_dataframe(SENTIMENTS, library="polars"), polars.DataFrame)


@pytest.mark.parametrize("make", [vector, lambda *numbers: array("f", numbers)])
def test_vectors_in_polars_have_a_fixed_size(make: Any) -> None:
    import polars

    results = [Embedding("1", ERROR, None), Embedding("2", None, USAGE, make(1, 2))]
    frame = to_dataframe(results, ["", "gut"], library="polars")
    assert frame.schema["vector"] == polars.Array(polars.Float32, 2)
    assert frame["vector"].to_list() == [None, [1.0, 2.0]]
    with pytest.raises(UsageError, match="2 and 3 dimensions"):
        to_dataframe([*results, Embedding("3", None, USAGE, make(1, 2, 3))], library="polars")


@pytest.mark.parametrize("library", LIBRARIES)
def test_all_kinds_of_vectors_are_in_a_frame(library: Library) -> None:
    sparse = SparseVector((7, 9), (0.5, 0.25), ("gut", "sehr"))
    many = vector(1, 2, 3, 4).reshape(2, 2)
    results = [Embedding("1", None, USAGE, None, sparse, many), Embedding("2", ERROR, None)]
    first, second = rows_of(to_dataframe(results, library=library))
    assert first["sparse"] == '{"gut": 0.5, "sehr": 0.25}'
    assert [list(row) for row in first["multi_vector"]] == [[1, 2], [3, 4]]
    assert second["multi_vector"] is None


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_analysis_has_a_column_for_each_task_although_the_first_document_failed(library: Library) -> None:
    models = AnalysisProvenance(MODEL, MODEL, (MODEL,))
    failed = DocumentAnalysis(0, "", ERROR, None, None, (), models, Timings())
    parts = (SENTIMENTS[0], ENTITIES[0], (Embedding("B1", None, USAGE, vector(1, 2)),))
    done = replace(failed, index=1, id="B1", error=None)
    done = replace(done, sentiment=parts[0], entities=parts[1], embeddings=parts[2])
    first, second = rows_of(to_dataframe([failed, done], ["", "gut"], library=library))
    assert (first["id"], first["sentiment"], first["vector"]) == ("1", None, None)
    assert (second["id"], second["sentiment"], second["entities"]) == ("B1", "positive", "Gut [ORG]")
    assert list(second["vector"]) == [1, 2]
    assert second["model"] == "german-sentiment; german-sentiment; german-sentiment"


@pytest.mark.parametrize("library", LIBRARIES)
def test_pairs_and_paraphrases_have_both_texts(library: Library) -> None:
    scores = [PairScore("p", None, 0.5, USAGE, USAGE), PairScore("", ERROR, None, None, None)]
    pairs = [Pair("gut", Text("toll"), id="p"), ("gut", "")]
    first, second = rows_of(answer(scores).to_dataframe(pairs, library=library))
    assert [first[key] for key in ("id", "text", "similar_text", "score")] == ["p", "gut", "toll", 0.5]
    assert (second["id"], second["score"], second["error"]) == ("2", None, f"{ERROR}")
    found = Paraphrases((Paraphrase(0, 1, 0.9),), (), MODEL, 2, 0, 0, Timings())
    [row] = rows_of(to_dataframe(found, ["gut", Text("prima", id="b")], library=library))
    assert row == {"score": 0.9, "id": "1", "similar_id": "b", "text": "gut", "similar_text": "prima"}
    [bare] = rows_of(to_dataframe(found, library=library))
    assert (bare["id"], bare["similar_id"], bare["text"]) == ("1", "2", None)


@pytest.mark.parametrize("library", LIBRARIES)
def test_without_texts_their_column_is_empty_and_ids_are_numbers(library: Library) -> None:
    results = [replace(each, id="") for each in SENTIMENTS]
    found = rows_of(to_dataframe(results, library=library))
    assert [(row["id"], row["text"]) for row in found] == [("1", None), ("1", None), ("2", None), ("3", None)]
    assert rows_of(to_dataframe([], library=library)) == []


def test_results_without_their_texts_and_mixed_ones_are_refused() -> None:
    with pytest.raises(UsageError, match="more results than the 1 texts"):
        to_dataframe(SENTIMENTS, ["gut"])
    with pytest.raises(TypeError, match="a Sentiment and a Entities"):
        to_dataframe([*SENTIMENTS, *ENTITIES])
    with pytest.raises(UsageError, match='library is "arrow"'):
        to_dataframe([], library="arrow")  # type: ignore[call-overload]
