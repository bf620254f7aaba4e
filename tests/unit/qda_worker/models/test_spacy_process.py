"""Only components that cannot change the entities are left out."""

from typing import Final

from qda_worker.models.spacy_process import needless_components


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


def test_of_the_german_package_what_sets_sentences_stays() -> None:
    """ner reads the parser's sentence borders: without them it finds other entities."""
    needless = needless_components(pipeline(*GERMAN_LG, disabled=("senter",)), True)
    assert needless == ["tagger", "morphologizer", "lemmatizer", "attribute_ruler"]


def test_everything_stays_when_an_attribute_ruler_sets_what_ner_reads() -> None:
    assert needless_components(pipeline(*GERMAN_LG), False) == []


def test_everything_stays_beside_a_component_that_may_read_tags() -> None:
    assert needless_components(pipeline("tok2vec", "tagger", "ner", "entity_ruler"), True) == []


def test_a_disabled_component_does_not_count() -> None:
    config = pipeline("tok2vec", "tagger", "ner", "entity_ruler", disabled=("entity_ruler",))
    assert needless_components(config, True) == ["tagger"]
