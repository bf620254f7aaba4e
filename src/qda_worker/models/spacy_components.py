"""Which components of a spaCy pipeline have to run for a layer of its results.

A layer is one kind of annotation, such as lemmas or entities. A component assigns layers and reads layers that the
components before it have assigned. To get a layer exactly as the complete pipeline gives it, all components that assign
it must run, those whose vectors they share (`upstream`), and those that assign what they read. The others can be left
out. A component of an unknown kind is taken to read and assign everything.

This module runs in the spaCy process and in the worker, and imports neither spaCy nor numpy.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class SyntaxLayer(StrEnum):
    """A kind of annotation of tokens."""

    SENTENCES = "sentences"
    LEMMA = "lemma"
    UNIVERSAL_PART_OF_SPEECH = "universal-part-of-speech"
    FINE_PART_OF_SPEECH = "fine-part-of-speech"
    MORPHOLOGY = "morphology"
    DEPENDENCY = "dependency"
    ENTITIES = "entities"


_ALL: Final = frozenset(SyntaxLayer)
_NONE: Final[frozenset[SyntaxLayer]] = frozenset()
_NOTHING: Final[Mapping[str, Sequence[str]]] = {}

# What the factories of spaCy assign and read. The parser sets no border where an earlier component has excluded one,
# and an ner starts no entity that would cross a border of sentences.
_ASSIGNS: Final[Mapping[str, frozenset[SyntaxLayer]]] = {
    "tok2vec": _NONE,
    "transformer": _NONE,
    "curated_transformer": _NONE,
    "tagger": frozenset({SyntaxLayer.FINE_PART_OF_SPEECH}),
    "morphologizer": frozenset({SyntaxLayer.UNIVERSAL_PART_OF_SPEECH, SyntaxLayer.MORPHOLOGY}),
    "parser": frozenset({SyntaxLayer.DEPENDENCY, SyntaxLayer.SENTENCES}),
    "senter": frozenset({SyntaxLayer.SENTENCES}),
    "sentencizer": frozenset({SyntaxLayer.SENTENCES}),
    "lemmatizer": frozenset({SyntaxLayer.LEMMA}),
    "trainable_lemmatizer": frozenset({SyntaxLayer.LEMMA}),
    "ner": frozenset({SyntaxLayer.ENTITIES}),
    "beam_ner": frozenset({SyntaxLayer.ENTITIES}),
    "entity_ruler": frozenset({SyntaxLayer.ENTITIES}),
    "span_ruler": frozenset({SyntaxLayer.ENTITIES}),
    "entity_linker": _NONE,  # ids of entities; see `_upstream`
    # Categories of the document and groups of spans, which are no annotation of tokens.
    "textcat": _NONE,
    "textcat_multilabel": _NONE,
    "spancat": _NONE,
    "spancat_singlelabel": _NONE,
    "span_finder": _NONE,
}
# Those that compute vectors for others.
_ENCODERS: Final = frozenset({"tok2vec", "transformer", "curated_transformer"})
# Those whose patterns may match the ids of an entity linker.
_RULERS: Final = frozenset({"attribute_ruler", "entity_ruler", "span_ruler"})
_READS: Final[Mapping[str, frozenset[SyntaxLayer]]] = {
    "parser": frozenset({SyntaxLayer.SENTENCES}),
    "ner": frozenset({SyntaxLayer.SENTENCES, SyntaxLayer.ENTITIES}),
    "beam_ner": frozenset({SyntaxLayer.SENTENCES, SyntaxLayer.ENTITIES}),
    "entity_ruler": _ALL,
    "span_ruler": _ALL,
    "entity_linker": frozenset({SyntaxLayer.SENTENCES, SyntaxLayer.ENTITIES}),
}
_READ_BY_LEMMA_RULES: Final = _ALL - {SyntaxLayer.SENTENCES, SyntaxLayer.DEPENDENCY, SyntaxLayer.ENTITIES}
# Factories whose results at a place depend only on the words around it, and for a parser on the sentence, so that a
# long text can be read in parts.
_LOCAL: Final = (frozenset(_ASSIGNS) - _ENCODERS) | {"attribute_ruler", "tok2vec"}
# Parts of architecture names in config.cfg whose networks have unbounded context.
_UNBOUNDED_CONTEXT: Final = ("transformer", "BiLSTM")

# The layer of each attribute that a factory declares to assign.
_LAYER_OF_DECLARED: Final[Mapping[str, SyntaxLayer]] = {
    "token.is_sent_start": SyntaxLayer.SENTENCES,
    "doc.sents": SyntaxLayer.SENTENCES,
    "token.lemma": SyntaxLayer.LEMMA,
    "token.pos": SyntaxLayer.UNIVERSAL_PART_OF_SPEECH,
    "token.tag": SyntaxLayer.FINE_PART_OF_SPEECH,
    "token.morph": SyntaxLayer.MORPHOLOGY,
    "token.dep": SyntaxLayer.DEPENDENCY,
    "token.head": SyntaxLayer.DEPENDENCY,
    "doc.ents": SyntaxLayer.ENTITIES,
}
# The layer of each token attribute in the rules of an attribute ruler; others are facts about the word itself.
_LAYER_OF_ATTRIBUTE: Final[Mapping[str, SyntaxLayer]] = {
    "TAG": SyntaxLayer.FINE_PART_OF_SPEECH,
    "POS": SyntaxLayer.UNIVERSAL_PART_OF_SPEECH,
    "MORPH": SyntaxLayer.MORPHOLOGY,
    "LEMMA": SyntaxLayer.LEMMA,
    "DEP": SyntaxLayer.DEPENDENCY,
    "HEAD": SyntaxLayer.DEPENDENCY,
    "SENT_START": SyntaxLayer.SENTENCES,
    "IS_SENT_START": SyntaxLayer.SENTENCES,
    "ENT_TYPE": SyntaxLayer.ENTITIES,
    "ENT_IOB": SyntaxLayer.ENTITIES,
    "ENT_ID": SyntaxLayer.ENTITIES,
    "ENT_KB_ID": SyntaxLayer.ENTITIES,
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of an attribute ruler.

    Attributes:
        reads: token attributes of its patterns.
        sets: token attributes that it sets.
    """

    reads: frozenset[str]
    sets: frozenset[str]


@dataclass(frozen=True, slots=True)
class Component:
    """A component of a pipeline.

    Attributes:
        name: its name in the pipeline.
        factory: what kind it is.
        assigns: layers that it assigns, or may assign.
        reads: layers that it reads, of the components before it.
        offers: layers that it certainly assigns.
        upstream: names of the components whose vectors it shares, or whose ids of entities it may read.
    """

    name: str
    factory: str
    assigns: frozenset[SyntaxLayer]
    reads: frozenset[SyntaxLayer]
    offers: frozenset[SyntaxLayer]
    upstream: frozenset[str] = frozenset()


def describe_components(
    config: Mapping[str, Any], rules: Sequence[Rule] = (), declared: Mapping[str, Sequence[str]] = _NOTHING
) -> tuple[Component, ...]:
    """Return the components of a pipeline that are not disabled, in their order.

    Args:
        config: the pipeline's config.cfg.
        rules: those of its attribute rulers.
        declared: for each component the attributes that its factory declares to assign, as `token.lemma`.
    """
    configs: Mapping[str, Mapping[str, Any]] = config.get("components", {})
    disabled = set(config["nlp"].get("disabled", ()))
    names = [name for name in config["nlp"].get("pipeline", tuple(configs)) if name not in disabled]
    described: list[Component] = []
    for name in names:
        component = configs[name]
        factory = str(component.get("factory", ""))
        before = frozenset(each.name for each in described)
        offers: frozenset[SyntaxLayer] | None = None
        if factory == "attribute_ruler":
            assigns, reads = _layers_of_rules(rules)
        elif factory == "lemmatizer" and component.get("mode", "lookup") != "lookup":
            assigns, reads = _ASSIGNS[factory], _READ_BY_LEMMA_RULES
        elif factory in _ASSIGNS:
            assigns, reads = _ASSIGNS[factory], _READS.get(factory, _NONE)
        else:
            assigns, reads = _ALL, _ALL
            known = (_LAYER_OF_DECLARED.get(each) for each in declared.get(name, ()))
            offers = frozenset(layer for layer in known if layer is not None)
        upstream = before if assigns == reads == _ALL else _upstream(component, described, reads)
        described.append(
            Component(name, factory, assigns, reads, assigns if offers is None else offers, upstream)
        )
    return tuple(described)


def layers_of(components: Iterable[Component]) -> tuple[str, ...]:
    """Return the layers that a pipeline assigns."""
    offered = frozenset[SyntaxLayer]().union(*(component.offers for component in components))
    return tuple(layer for layer in SyntaxLayer if layer in offered)


def required_components(components: Sequence[Component], layers: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the components that have to run for some layers, in their order.

    Args:
        components: as `describe_components` returned them.
        layers: the layers, as the complete pipeline gives them.
    """
    positions = {component.name: position for position, component in enumerate(components)}
    required: set[str] = set()

    def require_layer(layer: str, end: int) -> None:
        for position in range(end):
            if layer in components[position].assigns:
                require(position)

    def require(position: int) -> None:
        component = components[position]
        if component.name in required:
            return
        required.add(component.name)
        for name in component.upstream:
            require(positions[name])
        for layer in component.reads:
            require_layer(layer, position)

    for layer in layers:
        require_layer(layer, len(components))
    return tuple(component.name for component in components if component.name in required)


def is_local(components: Iterable[Component], config_text: str) -> bool:
    """Return whether the results at a place depend only on the text around it; see `_LOCAL`.

    Args:
        components: those of the pipeline.
        config_text: its config.cfg.
    """
    factories = {component.factory for component in components}
    return factories <= _LOCAL and not any(name in config_text for name in _UNBOUNDED_CONTEXT)


def _layers_of_rules(rules: Sequence[Rule]) -> tuple[frozenset[SyntaxLayer], frozenset[SyntaxLayer]]:
    """Return the layers that rules set, and those that they read. Attributes that are no names count as all layers."""
    sets = frozenset[str]().union(*(rule.sets for rule in rules))
    reads = frozenset[str]().union(*(rule.reads for rule in rules))
    return _layers_of_attributes(sets), _layers_of_attributes(reads)


def _layers_of_attributes(names: frozenset[str]) -> frozenset[SyntaxLayer]:
    if any(name == "_" or name.isdigit() for name in names):
        return _ALL
    return frozenset(
        _LAYER_OF_ATTRIBUTE[name.upper()] for name in names if name.upper() in _LAYER_OF_ATTRIBUTE
    )


def _upstream(
    component: Mapping[str, Any], before: Sequence[Component], reads: frozenset[SyntaxLayer]
) -> frozenset[str]:
    """Return the components whose vectors a component listens to, and for a ruler those whose ids it may match."""
    names = set(_listened(component.get("model", {})))
    encoders = {each.name for each in before if each.factory in _ENCODERS}
    listened = encoders if "*" in names else names & encoders
    if component.get("factory") in _RULERS and SyntaxLayer.ENTITIES in reads:
        listened |= {each.name for each in before if each.factory == "entity_linker"}
    return frozenset(listened)


def _listened(model: Any) -> Iterable[str]:
    """Yield the names of upstream components in the configuration of a network."""
    if not isinstance(model, Mapping):
        return
    if "Listener" in str(model.get("@architectures", "")):
        yield str(model.get("upstream", "*"))
    for part in model.values():
        yield from _listened(part)
