"""Only components that cannot change the entities are removed, and the memory of words is bounded."""

from typing import Any, Final

import pytest
import spacy

from qda_worker.models.spacy_process import Passage, PassageResult, Recognizer, removable_components


def pipeline(*factories: str, disabled: tuple[str, ...] = ()) -> dict[str, object]:
    return {
        "nlp": {"disabled": list(disabled)},
        "components": {name: {"factory": name} for name in factories},
    }


GERMAN_LG: Final = (
    "tok2vec",
    "tagger",
    "morphologizer",
    "parser",
    "lemmatizer",
    "senter",
    "attribute_ruler",
    "ner",
)


def test_the_components_of_the_german_package_that_set_sentences_stay() -> None:
    """The ner reads the parser's sentence boundaries: without them it finds other entities."""
    removable = removable_components(pipeline(*GERMAN_LG, disabled=("senter",)), True)
    assert removable == ["tagger", "morphologizer", "lemmatizer", "attribute_ruler"]


def test_everything_stays_if_an_attribute_ruler_sets_what_ner_reads() -> None:
    assert removable_components(pipeline(*GERMAN_LG), False) == []


def test_everything_stays_if_a_component_may_read_tags() -> None:
    assert removable_components(pipeline("tok2vec", "tagger", "ner", "entity_ruler"), True) == []


def test_a_disabled_component_is_ignored() -> None:
    config = pipeline("tok2vec", "tagger", "ner", "entity_ruler", disabled=("entity_ruler",))
    assert removable_components(config, True) == ["tagger"]


def recognizer(max_new_words: int) -> tuple[Any, Recognizer]:
    nlp = spacy.blank("de")
    nlp.add_pipe("entity_ruler").add_patterns([{"label": "LOC", "pattern": "Köln"}])  # type: ignore[attr-defined]  # its stubs know no ruler
    return nlp, Recognizer(nlp, max_new_words)


def read(recognizer: Recognizer, *texts: str) -> list[PassageResult]:
    return recognizer.recognize([Passage(text, 0, len(text)) for text in texts])


def test_words_are_remembered_over_requests_until_there_are_too_many() -> None:
    nlp, reader = recognizer(max_new_words=4)
    read(reader, "Quitten reifen")
    read(reader, "Quitten schmecken")
    assert "reifen" in nlp.vocab.strings  # three new words, so the first request is still remembered
    read(reader, "Pflaumen faulen")
    read(reader, "Nüsse")
    assert "Nüsse" in nlp.vocab.strings
    assert not {"Quitten", "reifen", "schmecken", "Pflaumen", "faulen"} & set(nlp.vocab.strings)


@pytest.mark.parametrize("max_new_words", [1, 3, 1000])
def test_the_memory_of_words_changes_no_result(max_new_words: int) -> None:
    _, reader = recognizer(max_new_words)
    for text, entities in (
        ("In Köln", [(3, 7, "LOC")]),
        ("Köln, Bonn, Köln", [(0, 4, "LOC"), (12, 16, "LOC")]),
    ) * 2:
        (result,) = read(reader, text)
        assert result.entities == entities


def test_words_of_a_request_that_failed_are_released() -> None:
    nlp, reader = recognizer(max_new_words=1000)
    nlp.max_length = 20
    with pytest.raises(ValueError, match="max_length"):
        read(reader, "Quitten", "Quitten " * 10)
    assert "Quitten" not in nlp.vocab.strings
    assert read(reader, "In Köln") == [PassageResult([(3, 7, "LOC")], 2)]
