"""Which components run for a layer: those that assign it, what they share, and what they read."""

from typing import Any, Final

import pytest

from qda_worker.models.spacy_components import (
    Rule,
    SyntaxLayer,
    describe_components,
    is_local,
    layers_of,
    required_components,
)

GERMAN_LG: Final = ("tok2vec", "tagger", "morphologizer", "parser", "lemmatizer", "attribute_ruler", "ner")
SPACES: Final = Rule(frozenset({"IS_SPACE"}), frozenset({"TAG", "POS"}))


def config(*factories: str, disabled: tuple[str, ...] = (), **components: Any) -> dict[str, Any]:
    """Return a pipeline whose components share the tok2vec, except the ner, as in the German packages."""
    listener = {"model": {"tok2vec": {"@architectures": "spacy.Tok2VecListener.v1", "upstream": "tok2vec"}}}
    own = {"tok2vec", "ner", "attribute_ruler"}
    return {
        "nlp": {"pipeline": list(factories), "disabled": list(disabled)},
        "components": {
            name: {"factory": name, **({} if name in own else listener), **components.get(name, {})}
            for name in factories
        },
    }


def required(
    pipeline: dict[str, Any], *layers: SyntaxLayer, rules: tuple[Rule, ...] = (SPACES,)
) -> list[str]:
    return list(required_components(describe_components(pipeline, rules), layers))


@pytest.mark.parametrize(
    ("layer", "names"),
    [
        (SyntaxLayer.SENTENCES, ["tok2vec", "parser"]),
        (SyntaxLayer.DEPENDENCY, ["tok2vec", "parser"]),
        (SyntaxLayer.LEMMA, ["tok2vec", "lemmatizer"]),
        (SyntaxLayer.UNIVERSAL_PART_OF_SPEECH, ["tok2vec", "morphologizer", "attribute_ruler"]),
        (SyntaxLayer.FINE_PART_OF_SPEECH, ["tok2vec", "tagger", "attribute_ruler"]),
        (SyntaxLayer.MORPHOLOGY, ["tok2vec", "morphologizer"]),
        # It has a network of its own, and reads the borders of sentences.
        (SyntaxLayer.ENTITIES, ["tok2vec", "parser", "ner"]),
    ],
)
def test_a_layer_needs_the_components_that_assign_it_and_what_they_read(
    layer: SyntaxLayer, names: list[str]
) -> None:
    assert required(config(*GERMAN_LG), layer) == names


def test_several_layers_need_the_components_of_each_in_the_order_of_the_pipeline() -> None:
    layers = (SyntaxLayer.ENTITIES, SyntaxLayer.LEMMA)
    assert required(config(*GERMAN_LG), *layers) == ["tok2vec", "parser", "lemmatizer", "ner"]
    assert required(config(*GERMAN_LG)) == []


def test_a_lemmatizer_with_rules_needs_the_parts_of_speech() -> None:
    rules = config(*GERMAN_LG, lemmatizer={"mode": "rule"})
    assert required(rules, SyntaxLayer.LEMMA) == ["tok2vec", "tagger", "morphologizer", "lemmatizer"]


def test_an_attribute_ruler_needs_what_its_patterns_read() -> None:
    rules = (Rule(frozenset({"TAG"}), frozenset({"POS"})),)
    wanted = required(
        config("tok2vec", "tagger", "attribute_ruler"), SyntaxLayer.UNIVERSAL_PART_OF_SPEECH, rules=rules
    )
    assert wanted == ["tok2vec", "tagger", "attribute_ruler"]


def test_an_attribute_ruler_that_sets_sentences_runs_for_entities() -> None:
    rules = (Rule(frozenset({"TEXT"}), frozenset({"SENT_START"})),)
    assert "attribute_ruler" in required(config(*GERMAN_LG), SyntaxLayer.ENTITIES, rules=rules)


@pytest.mark.parametrize("factory", ["entity_ruler", "span_ruler", "made_by_somebody"])
def test_a_component_that_may_read_anything_needs_all_before_it(factory: str) -> None:
    pipeline = config("tok2vec", "tagger", "ner", factory)
    assert required(pipeline, SyntaxLayer.ENTITIES) == ["tok2vec", "tagger", "ner", factory]


def test_an_unknown_component_offers_what_it_declares_only() -> None:
    pipeline = config("tok2vec", "tagger", "made_by_somebody")
    components = describe_components(pipeline, (), {"made_by_somebody": ["doc._.mood", "token.lemma"]})
    assert layers_of(components) == (SyntaxLayer.LEMMA, SyntaxLayer.FINE_PART_OF_SPEECH)


def test_a_disabled_component_is_ignored() -> None:
    pipeline = config("tok2vec", "tagger", "senter", disabled=("senter",))
    assert layers_of(describe_components(pipeline)) == (SyntaxLayer.FINE_PART_OF_SPEECH,)


def test_long_texts_are_read_in_parts_only_where_results_are_local() -> None:
    assert is_local(describe_components(config(*GERMAN_LG)), "spacy.MaxoutWindowEncoder.v2")
    assert not is_local(describe_components(config(*GERMAN_LG)), "spacy.TorchBiLSTMEncoder.v1")
    assert not is_local(describe_components(config("transformer", "tagger")), "")
    assert not is_local(describe_components(config("tok2vec", "made_by_somebody")), "")


@pytest.mark.parametrize(
    "factory",
    ["textcat", "textcat_multilabel", "spancat", "spancat_singlelabel", "span_finder", "entity_linker"],
)
def test_what_annotates_no_tokens_does_not_run_and_does_not_prevent_parts(factory: str) -> None:
    pipeline = config(*GERMAN_LG[:3], factory, *GERMAN_LG[3:])
    components = describe_components(pipeline, [SPACES])
    assert factory not in required_components(components, SyntaxLayer)
    assert layers_of(components) == layers_of(describe_components(config(*GERMAN_LG), [SPACES]))
    assert is_local(components, "")


def test_vectors_are_shared_by_encoders_only() -> None:
    any_encoder = {"model": {"@architectures": "spacy.Tok2VecListener.v1", "upstream": "*"}}
    pipeline = config("tok2vec", "textcat", "tagger", tagger={"model": any_encoder})
    assert required(pipeline, SyntaxLayer.FINE_PART_OF_SPEECH, rules=()) == ["tok2vec", "tagger"]


def test_a_ruler_needs_the_linker_whose_ids_it_may_match() -> None:
    pipeline = config("tok2vec", "parser", "ner", "entity_linker", "span_ruler")
    assert "entity_linker" in required(pipeline, SyntaxLayer.ENTITIES)
    rules = (Rule(frozenset({"ENT_KB_ID"}), frozenset({"LEMMA"})),)
    pipeline = config("tok2vec", "ner", "entity_linker", "attribute_ruler")
    assert "entity_linker" in required(pipeline, SyntaxLayer.LEMMA, rules=rules)
