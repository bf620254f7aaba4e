"""AnalyzeSyntax: layers, spans in the caller's unit, and results that do not fit into a message."""

from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_cache.catalog.catalog import Precision, Task
from qda.v1 import syntax_pb2 as pb
from qda.v1 import text_pb2
from qda_worker.conversion.syntax import (
    ByteBudget,
    check_layers,
    fill_syntax,
    parse_analyze_syntax,
    parse_layers,
)
from qda_worker.errors import ArgumentInvalid, EncodingMissing
from qda_worker.models.base import ModelInfo
from qda_worker.models.offsets import OffsetEncoding, convert_positions, convert_spans
from qda_worker.models.spacy_components import SyntaxLayer
from qda_worker.models.syntax import SyntaxOptions, TokenTable
from qda_worker.models.token_columns import STRING_COLUMNS, Column, Flag

TEXT: Final = "😀 Grüße. Na"
INFO: Final = ModelInfo(
    "names", Task.ENTITIES, "de_x", "1", Precision.FP32, None, 100,
    components=("tok2vec", "tagger", "ner"),
    syntax_layers={
        SyntaxLayer.FINE_PART_OF_SPEECH: ("tok2vec", "tagger"),
        SyntaxLayer.ENTITIES: ("ner",),
    },
)  # fmt: skip


def tokens(*layers: SyntaxLayer) -> TokenTable:
    made = np.zeros((len(Column), 4), np.int32)
    made[Column.START] = [0, 2, 7, 9]
    made[Column.LENGTH] = [1, 5, 1, 2]
    made[Column.FLAGS] = [
        Flag.SPACE_AFTER | Flag.SENTENCE_START,
        0,
        Flag.SPACE_AFTER,
        Flag.SENTENCE_START | Flag.ENTITY_BEGIN,
    ]
    made[Column.HEAD] = [1, 0, -1, 0]
    made[Column.LEMMA] = [0, 1, 2, 0]
    return TokenTable(made, ["", "Gruß", "."], frozenset(layers))


@pytest.mark.parametrize(
    ("encoding", "spans"),
    [
        (OffsetEncoding.CODE_POINT, [(0, 1), (2, 7), (7, 8), (9, 11)]),
        (OffsetEncoding.UTF16, [(0, 2), (3, 8), (8, 9), (10, 12)]),
        (OffsetEncoding.UTF8, [(0, 4), (5, 12), (12, 13), (14, 16)]),
    ],
)
def test_spans_are_in_the_unit_of_the_caller(encoding: OffsetEncoding, spans: list[tuple[int, int]]) -> None:
    result = pb.SyntaxResult()
    fill_syntax(result, TEXT, tokens(*SyntaxLayer), span_encoding=encoding, budget=ByteBudget(10_000))
    assert [(token.span.start, token.span.end) for token in result.tokens] == spans
    assert [(each.span.start, each.span.end) for each in result.sentences] == [
        (spans[0][0], spans[2][1]),
        spans[3],
    ]
    assert [token.text for token in result.tokens] == ["😀", "Grüße", ".", "Na"]
    assert [token.head_index for token in result.tokens] == [1, 1, 1, 3]
    assert [token.space_after for token in result.tokens] == [True, False, True, False]
    assert [token.entity_begins for token in result.tokens] == [False, False, False, True]
    assert [(each.first_token_index, each.token_count) for each in result.sentences] == [(0, 3), (3, 1)]


@pytest.mark.parametrize("encoding", OffsetEncoding)
@pytest.mark.parametrize("text", ["", "ascii", "ü\U0001f600\u20acx\U0010ffff", "é" * 100])
def test_positions_are_converted_as_spans_are(text: str, encoding: OffsetEncoding) -> None:
    positions = np.arange(len(text) + 1, dtype=np.int32)
    expected = [
        start for start, _ in convert_spans(text, [(each, each) for each in positions.tolist()], encoding)
    ]
    assert convert_positions(text, positions, encoding).tolist() == expected


def test_fields_of_other_layers_are_absent() -> None:
    result = pb.SyntaxResult()
    fill_syntax(
        result,
        TEXT,
        tokens(SyntaxLayer.LEMMA),
        span_encoding=OffsetEncoding.CODE_POINT,
        budget=ByteBudget(10_000),
    )
    assert not result.sentences
    assert not any(token.HasField("head_index") for token in result.tokens)
    assert [token.lemma for token in result.tokens] == ["", "Gruß", ".", ""]


def test_layers_are_checked_against_those_of_the_model() -> None:
    check_layers(SyntaxOptions(), INFO)
    check_layers(SyntaxOptions(layers=frozenset({SyntaxLayer.ENTITIES})), INFO)
    with pytest.raises(ArgumentInvalid, match="components: tok2vec, tagger, ner") as caught:
        check_layers(SyntaxOptions(layers=frozenset({SyntaxLayer.LEMMA, SyntaxLayer.ENTITIES})), INFO)
    assert "SYNTAX_LAYER_ENTITIES" in (caught.value.remedy or "")
    assert [violation.field for violation in caught.value.violations] == ["layers"]
    assert INFO.components_for([SyntaxLayer.FINE_PART_OF_SPEECH, SyntaxLayer.ENTITIES]) == INFO.components


@pytest.mark.parametrize("number", [0, 8, 99])
def test_a_layer_that_does_not_exist_is_refused(number: int) -> None:
    with pytest.raises(ArgumentInvalid) as caught:
        parse_layers([pb.SYNTAX_LAYER_LEMMA, number])
    assert [violation.field for violation in caught.value.violations] == ["layers[1]"]


def test_the_unit_of_positions_is_required() -> None:
    with pytest.raises(EncodingMissing):
        parse_analyze_syntax(pb.AnalyzeSyntaxRequest(texts=[text_pb2.Text(content="x")]))


def test_a_result_beyond_the_budget_of_the_message_is_refused() -> None:
    budget = ByteBudget(300)
    arguments: Any = {"span_encoding": OffsetEncoding.CODE_POINT, "budget": budget}
    result = pb.SyntaxResult()
    fill_syntax(result, TEXT, tokens(), **arguments)
    assert budget.left == 300 - result.ByteSize()
    budget.left = result.ByteSize() - 1
    with pytest.raises(
        ArgumentInvalid, match=f"take {result.ByteSize()} bytes, and {budget.left} of 67108864"
    ):
        fill_syntax(pb.SyntaxResult(), TEXT, tokens(), **arguments)


def test_tokens_far_beyond_the_budget_are_refused_before_they_are_built() -> None:
    result = pb.SyntaxResult()
    with pytest.raises(ArgumentInvalid, match="take at least 51 bytes, and 10 of 67108864"):
        fill_syntax(result, TEXT, tokens(), span_encoding=OffsetEncoding.CODE_POINT, budget=ByteBudget(10))
    assert not result.tokens


@given(st.data())
def test_the_least_size_of_tokens_is_not_above_their_size(data: st.DataObject) -> None:
    """Otherwise tokens that fit would be refused."""
    text = data.draw(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
    strings = ["", *data.draw(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=3))]
    made = np.zeros((len(Column), len(text)), np.int32)
    made[Column.START] = np.arange(len(text))
    made[Column.LENGTH] = 1
    for column in STRING_COLUMNS:
        made[column] = data.draw(st.integers(0, len(strings) - 1))
    table, result = TokenTable(made, strings, frozenset()), pb.SyntaxResult()
    fill_syntax(result, text, table, span_encoding=OffsetEncoding.CODE_POINT, budget=ByteBudget(10**6))
    size = result.ByteSize()
    fill_syntax(
        pb.SyntaxResult(), text, table, span_encoding=OffsetEncoding.CODE_POINT, budget=ByteBudget(size)
    )
