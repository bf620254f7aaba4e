"""The corpus: reproducible, correct German as far as rules can check, and disjoint from the held-out statements."""

import pytest

from tests.support.small_models.frames import Statement
from tests.support.small_models.grammar import Noun, contract, with_adjective
from tests.support.small_models.recipes import SEED
from tests.support.small_models.statements import Corpus, Group, add_opener, join_statements, load_corpus
from tests.support.small_models.words import load_words


def _statements(groups: tuple[Group, ...]) -> list[Statement]:
    return [statement for group in groups for statement in group]


def test_the_same_seed_gives_the_same_corpus(corpus: Corpus) -> None:
    load_corpus.cache_clear()
    assert load_corpus(SEED) == corpus


def test_no_held_out_statement_is_trained_on(corpus: Corpus) -> None:
    train, held_out = _statements(corpus.train), _statements(corpus.held_out)
    assert {each.text for each in train}.isdisjoint(each.text for each in held_out)
    assert {each.meaning for each in train}.isdisjoint(each.meaning for each in held_out)
    assert len(held_out) > 1000


def test_no_unseen_name_is_in_a_training_statement(corpus: Corpus) -> None:
    words = load_words("unseen")
    names = {*words.first_names, *words.last_names, *words.places}
    spoken = {each.text[start:end] for each in _statements(corpus.train) for start, end, _ in each.entities}
    assert not {part for name in spoken for part in name.split()} & names


def test_entities_have_the_positions_of_their_labels(corpus: Corpus) -> None:
    for statement in _statements(corpus.train):
        for start, end, label in statement.entities:
            name = statement.text[start:end]
            assert name == name.strip() != ""
            assert label in {"LOC", "MISC", "ORG", "PER"}


def test_no_slot_and_no_mark_remains_in_a_text(corpus: Corpus) -> None:
    for statement in _statements(corpus.train):
        assert not set(statement.text) & set("{}[]|\ue000\ue001\ue002"), statement.text
        assert "  " not in statement.text


def test_an_opener_before_a_statement_shifts_its_entities() -> None:
    statement = Statement("Ich wohne in Köln.", "neutral", "home", ((13, 17, "LOC"),))
    assert add_opener("Also, ", statement).text == "Also, ich wohne in Köln."
    for moved in (
        add_opener("Also, ", statement),
        join_statements(Statement("Ja.", "neutral", "yes"), statement),
    ):
        assert [moved.text[start:end] for start, end, _ in moved.entities] == ["Köln"]


@pytest.mark.parametrize(
    ("noun", "case", "stem", "phrase"),
    [
        ("m Arzt", "nom", "ein", "ein guter Arzt"),
        ("m Arzt", "dat", "kein", "keinem guten Arzt"),
        ("f Schule", "nom", "kein", "keine gute Schule"),
        ("n Haus", "acc", "ein", "ein gutes Haus"),
        ("p Noten", "nom", "ein", "gute Noten"),
        ("p Noten", "nom", "kein", "keine guten Noten"),
    ],
)
def test_adjectives_take_their_endings(noun: str, case: str, stem: str, phrase: str) -> None:
    assert with_adjective(Noun.parse(noun), "gut", case, stem) == phrase


def test_prepositions_and_articles_are_contracted() -> None:
    assert contract("Bei dem Arzt und zu der Schule von dem Amt") == "Beim Arzt und zur Schule vom Amt"


def test_names_with_an_adjective_are_declined() -> None:
    assert Noun.parse("f Deutsche Bahn").inflected("dat") == "Deutschen Bahn"
    assert Noun.parse("Siemens").article("dat") == ""
