"""The memory of words is bounded, and each passage of a request gets the layers that it asks for."""

from typing import Any

import pytest
import spacy

from qda_worker.models.spacy_components import SyntaxLayer, describe_components
from qda_worker.models.spacy_process import Analyzer
from qda_worker.models.spacy_protocol import Passage, PassageResult, decode_results, encode_results
from qda_worker.models.token_columns import Column, Flag


def analyzer(max_new_words: int) -> tuple[Any, Analyzer]:
    nlp = spacy.blank("de")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "LOC", "pattern": "Köln"}])  # type: ignore[attr-defined]  # its stubs know no ruler
    return nlp, Analyzer(nlp, describe_components(nlp.config), max_new_words)


def read(analyzer: Analyzer, *texts: str) -> list[PassageResult]:
    return analyzer.analyze([Passage(text, 0, len(text)) for text in texts])


def test_words_are_remembered_over_requests_until_there_are_too_many() -> None:
    nlp, reader = analyzer(max_new_words=4)
    read(reader, "Quitten reifen")
    read(reader, "Quitten schmecken")
    assert "reifen" in nlp.vocab.strings  # three new words, so the first request is still remembered
    read(reader, "Pflaumen faulen")
    read(reader, "Nüsse")
    assert "Nüsse" in nlp.vocab.strings
    assert not {"Quitten", "reifen", "schmecken", "Pflaumen", "faulen"} & set(nlp.vocab.strings)


@pytest.mark.parametrize("max_new_words", [1, 3, 1000])
def test_the_memory_of_words_changes_no_result(max_new_words: int) -> None:
    _, reader = analyzer(max_new_words)
    for text, entities in (
        ("In Köln", [(3, 7, "LOC")]),
        ("Köln, Bonn, Köln", [(0, 4, "LOC"), (12, 16, "LOC")]),
    ) * 2:
        (result,) = read(reader, text)
        assert result.entities == entities


def test_words_of_a_request_that_failed_are_released() -> None:
    nlp, reader = analyzer(max_new_words=1000)
    nlp.max_length = 20
    with pytest.raises(ValueError, match="max_length"):
        read(reader, "Quitten", "Quitten " * 10)
    assert "Quitten" not in nlp.vocab.strings
    assert read(reader, "In Köln") == [PassageResult([(3, 7, "LOC")], 2)]


def test_passages_of_a_request_get_what_each_asks_for() -> None:
    """Components run once for all passages that need the same ones."""
    nlp, _ = analyzer(1000)
    nlp.add_pipe("sentencizer", first=True)
    reader = Analyzer(nlp, describe_components(nlp.config))
    text = "Aus Köln. _ 😀 ja!"
    sentences = Passage(text, 0, len(text), [SyntaxLayer.SENTENCES], table=True)
    everything = Passage(text, 0, len(text), list(SyntaxLayer), table=True)
    tokens_only = Passage("a  b", 0, 4, [], table=True)
    counted = Passage("a b c", 0, 5, [])
    found = reader.analyze([Passage(text, 0, len(text)), sentences, everything, tokens_only, counted])
    assert (found[0].entities, found[0].tokens, found[0].table) == ([(4, 8, "LOC")], 7, None)
    assert found[4] == PassageResult([], 3)
    answer, body = encode_results(found)
    decoded = decode_results({**answer, "body": body})
    assert [result.tokens for result in decoded] == [7, 7, 7, 3, 3]
    tables = [(result.table, result.strings) for result in decoded[1:4]]
    (with_sentences, strings), (full, _), (plain, _) = tables
    assert with_sentences is not None
    assert full is not None
    assert plain is not None
    starts = [
        number for number, flag in enumerate(with_sentences[Column.FLAGS]) if flag & Flag.SENTENCE_START
    ]
    assert starts == [0, 4]  # the sentencizer takes the underscore for punctuation
    assert [strings[number] for number in with_sentences[Column.ENTITY]] == [""] * 7
    assert [strings[number] for number in full[Column.ENTITY]] == ["", "LOC", "", "", "", "", ""]
    assert not full[Column.LEMMA].any()  # no component assigns lemmas, the parts of speech neither
    assert plain[Column.START].tolist() == [0, 2, 3]
    assert plain[Column.LENGTH].tolist() == [1, 1, 1]
    assert [bool(flag & Flag.SPACE_AFTER) for flag in plain[Column.FLAGS]] == [True, False, False]
