"""Only components that cannot change the entities are removed."""

from typing import Final

from qda_worker.models.spacy_process import removable_components


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
