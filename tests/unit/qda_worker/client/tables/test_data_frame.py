"""Data frames have the rows and columns of the tables that the program writes, in pandas and in polars."""

import csv
import io
import json
from array import array
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any, Final, assert_type, get_args

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
    Syntax,
)
from qda_worker.client.tables.csv_table import CsvStyle, header_lines, row_lines
from qda_worker.client.tables.data_frame import Library
from qda_worker.client.tables.layout import layout_of
from qda_worker.client.tables.records import TextResult, to_record
from qda_worker.client.tokens import Token, TokenRange
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
SYNTAX: Final = Syntax(
    "B1",
    None,
    (TokenRange(0, 3, 0, 2),),
    (Token("Ja", 0, 2, False), Token(".", 2, 3, False)),
    USAGE,
    Offsets.CODE_POINTS,
)


def vector(*numbers: float) -> Any:
    import numpy

    return numpy.array(numbers, dtype="float32")


SYNTAXES: Final = [
    Syntax(
        "B1",
        None,
        (TokenRange(0, 11, 0, 2), TokenRange(12, 16, 2, 1)),
        (
            Token("Das", 1, 4, True, "der", "PRON", "PDS", "Case=Nom", 1, "sb"),
            Token("hilft.", 5, 11, True, head=1, dependency_label="ROOT"),
            Token("Gut.", 12, 16, False, head=2, entity_label="ORG", entity_begins=True),
        ),
        USAGE,
        Offsets.CODE_POINTS,
    ),
    Syntax("2", ERROR, (), (), None, None),
    Syntax("3", None, (), (Token("Köln", 0, 4, True),), USAGE, Offsets.CODE_POINTS),
]
EMBEDDINGS: Final = [
    Embedding("B1", None, USAGE, vector(0.5, 2)),
    Embedding("2", ERROR, None),
    Embedding("3", None, USAGE, vector(1, 0)),
]


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


def csv_rows(options: dict[str, Any], results: list[Any]) -> list[dict[str, str]]:
    layout = layout_of(options)
    lines: list[Any] = []
    for segment, result in zip(SEGMENTS, results, strict=True):
        models = result.provenance if isinstance(result, DocumentAnalysis) else MODEL
        lines += layout.rows(to_record(segment, result, models, options))
    style = CsvStyle(",", ".")
    text = header_lines(layout, style) + "".join(row_lines(lines, style))
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def results_of(kind: Any) -> tuple[dict[str, Any], list[Any]]:
    """Return options and results for `SEGMENTS`; the second one is an error."""
    if kind is Sentiment:
        return {"command": "sentiment"}, SENTIMENTS
    if kind is Entities:
        return {"command": "entities"}, ENTITIES
    if kind is Syntax:
        return {"command": "syntax"}, SYNTAXES
    if kind is Embedding:
        return {"command": "embed"}, EMBEDDINGS
    if kind is PairScore:
        scores = [PairScore(each.id, None, 0.5, USAGE, USAGE) for each in SEGMENTS]
        return {"command": "pairs"}, [scores[0], replace(scores[1], error=ERROR, score=None), scores[2]]
    assert kind is DocumentAnalysis
    models = AnalysisProvenance(MODEL, MODEL, (MODEL,), MODEL)
    documents = [
        DocumentAnalysis(number, each.id, None, each, names, (vectors,), models, Timings(), syntax)
        for number, (each, names, vectors, syntax) in enumerate(
            zip(SENTIMENTS, ENTITIES, EMBEDDINGS, SYNTAXES, strict=True)
        )
    ]
    tasks = ["sentiment", "entities", "syntax", "embedding"]
    return {"command": "analyze", "tasks": tasks}, documents


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", get_args(TextResult))
def test_a_frame_and_a_csv_file_of_the_same_results_agree(kind: Any, library: Library) -> None:
    options, results = results_of(kind)
    texts = [Pair(Text(each.text), "", each.id) for each in SEGMENTS] if kind is PairScore else SEGMENTS
    found = rows_of(answer(results).to_dataframe(texts, library=library))
    expected = csv_rows(options, results)
    assert [list(row) for row in found] == [list(row) for row in expected]
    for row, line in zip(found, expected, strict=True):
        if kind is PairScore:  # the file has the origin of a pair
            row.update(source="a.csv", speaker=line["speaker"], time_start=line["time_start"])
        if line.get("vector"):
            assert list(row.pop("vector")) == json.loads(line.pop("vector"))
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
    models = AnalysisProvenance(MODEL, MODEL, (MODEL, MODEL), MODEL)
    failed = DocumentAnalysis(0, "", ERROR, None, None, (), models, Timings())
    cut = replace(USAGE, tokens=400, used_tokens=128)
    vectors = (Embedding("B1", None, USAGE, vector(1, 2)), Embedding("B1", None, cut, vector(3, 4)))
    done = replace(failed, index=1, id="B1", error=None, sentiment=SENTIMENTS[0], entities=ENTITIES[0])
    done = replace(done, syntax=SYNTAX, embeddings=vectors)
    first, second = rows_of(to_dataframe([failed, done], ["", "gut"], library=library))
    assert (first["id"], first["sentiment"], first["vector"]) == ("1", None, None)
    assert (second["id"], second["sentiment"], second["entities"]) == ("B1", "positive", "Gut [ORG]")
    assert (second["sentence_count"], second["token_count"]) == (1, 2)
    assert (list(second["vector"]), list(second["vector_2"])) == ([1, 2], [3, 4])
    used = {key: each for key, each in second.items() if key.endswith("tokens")}
    assert used == {
        "sentiment_tokens": 5, "sentiment_used_tokens": 5, "entities_tokens": 5, "entities_used_tokens": 5,
        "syntax_tokens": 5, "syntax_used_tokens": 5, "vector_tokens": 5, "vector_used_tokens": 5,
        "vector_2_tokens": 400, "vector_2_used_tokens": 128,
    }  # fmt: skip
    assert second["model"] == "; ".join(["german-sentiment"] * 5)


@pytest.mark.parametrize("library", LIBRARIES)
def test_syntax_has_a_row_for_each_token(library: Library) -> None:
    rows = rows_of(to_dataframe([SYNTAX], ["Ja."], library=library))
    assert [(row["id"], row["text"], row["token"], row["sentence_number"]) for row in rows] == [
        ("B1", "Ja.", "Ja", 1),
        ("B1", "Ja.", ".", 1),
    ]


@pytest.mark.parametrize("library", LIBRARIES)
def test_pairs_and_paraphrases_have_both_texts(library: Library) -> None:
    cut = replace(USAGE, tokens=400, used_tokens=128)
    scores = [PairScore("p", None, 0.5, USAGE, cut), PairScore("", ERROR, None, None, None)]
    pairs = [Pair("gut", Text("toll"), id="p"), ("gut", "")]
    first, second = rows_of(answer(scores).to_dataframe(pairs, library=library))
    assert [first[key] for key in ("id", "text", "similar_text", "score")] == ["p", "gut", "toll", 0.5]
    counts = ("tokens", "used_tokens", "similar_tokens", "similar_used_tokens")
    assert [first[key] for key in counts] == [5, 5, 400, 128]
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


def test_a_single_text_pairs_and_texts_in_the_wrong_place_are_refused() -> None:
    scores = [PairScore("", None, 0.5, USAGE, USAGE)]
    found = Paraphrases((Paraphrase(0, 1, 0.9),), (), MODEL, 2, 0, 0, Timings())
    with pytest.raises(TypeError, match="texts is one text"):
        to_dataframe(SENTIMENTS, "gut")
    with pytest.raises(TypeError, match="others is one text"):
        to_dataframe(found, ["gut", "toll"], "prima")
    with pytest.raises(TypeError, match=r"texts\[1\] is a pair"):
        to_dataframe(found, ["gut", ("toll", "prima")])
    with pytest.raises(TypeError, match=r"texts\[0\] is a text"):
        to_dataframe(scores, ["gut"])
