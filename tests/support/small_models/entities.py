"""The small spaCy model, in a wheel: a German pipeline with the components and the entity labels of de_core_news_lg.

As there, the ner has a network of its own, and tagger, morphologizer, parser and lemmatizer share one.
"""

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import spacy
from spacy.language import Language
from spacy.scorer import Scorer
from spacy.tokens import Doc, Span
from spacy.training import Example
from thinc.api import fix_random_seed

from tests.support.small_models.frames import Statement
from tests.support.small_models.statements import (
    EMOJI,
    Group,
    add_emoji,
    add_opener,
    join_statements,
    load_corpus,
    load_exclamations,
    load_openers,
)
from tests.support.small_models.syntax import annotate
from tests.support.small_models.wheel import WheelMetadata, write_model_wheel

LABELS: Final = ("LOC", "MISC", "ORG", "PER")
PACKAGE: Final = "de_demo_news_sm"
VERSION: Final = "3.8.0"

_EPOCHS: Final = 5
_BATCH: Final = 64
_TEXTS: Final = 3600
_WIDTH: Final = 64
_TOK2VEC: Final[dict[str, Any]] = {
    "@architectures": "spacy.HashEmbedCNN.v2",
    "width": _WIDTH,
    "depth": 3,
    "embed_size": 1500,
    "window_size": 1,
    "maxout_pieces": 2,
    "subword_features": True,
    "pretrained_vectors": None,
}
_NER: Final[dict[str, Any]] = {
    "@architectures": "spacy.TransitionBasedParser.v2",
    "state_type": "ner",
    "extra_state_tokens": False,
    "hidden_width": 48,
    "maxout_pieces": 2,
    "use_upper": True,
    "nO": None,
    "tok2vec": _TOK2VEC,
}
_LISTENER: Final[dict[str, Any]] = {
    "@architectures": "spacy.Tok2VecListener.v1",
    "width": _WIDTH,
    "upstream": "tok2vec",
}
_TAGGER: Final[dict[str, Any]] = {"@architectures": "spacy.Tagger.v2", "nO": None, "tok2vec": _LISTENER}
_PARSER: Final[dict[str, Any]] = {**_NER, "state_type": "parser", "tok2vec": _LISTENER}
# Components that are trained on the rules of `syntax`, on fewer texts.
_SYNTAX: Final = ("tok2vec", "tagger", "morphologizer", "parser", "lemmatizer")
_SYNTAX_EPOCHS: Final = 4
_SYNTAX_TEXTS: Final = 2400


def build(folder: Path, seed: int) -> dict[str, float]:
    """Train, write the wheel into `folder`, return the F1 score of held-out texts, and of texts with new names."""
    fix_random_seed(seed)
    rng = random.Random(seed)
    corpus = load_corpus(seed)
    nlp = _new_pipeline()
    statements = _varied(corpus.train, rng)
    examples = [_example(nlp, statement) for statement in statements]
    _fit(nlp, examples, rng)
    held_out = [_example(nlp, statement) for group in corpus.held_out for statement in group]
    unseen = [_example(nlp, statement) for group in corpus.unseen for statement in group]
    scores = {"f1": _f1(nlp, held_out), "f1_of_new_names": _f1(nlp, unseen), **_syntax_scores(nlp, held_out)}
    nlp.meta.update(
        lang="de",
        name="demo_news_sm",
        version=VERSION,
        spacy_version=">=3.8.0,<3.9.0",
        description="A small German pipeline for the demo and the tests. Of no use for real texts.",
        author="qda-worker",
        license="MIT",
        performance={"ents_f": scores["f1"]},
    )
    with tempfile.TemporaryDirectory() as written:
        nlp.to_disk(written)
        write_model_wheel(folder, WheelMetadata(PACKAGE, VERSION), Path(written))
    return scores


def _new_pipeline() -> Language:
    nlp = spacy.blank("de")
    nlp.add_pipe("tok2vec", config={"model": _TOK2VEC})
    nlp.add_pipe("tagger", config={"model": _TAGGER})
    nlp.add_pipe("morphologizer", config={"model": _TAGGER})
    nlp.add_pipe("parser", config={"model": _PARSER, "min_action_freq": 1})
    nlp.add_pipe("trainable_lemmatizer", name="lemmatizer", config={"model": _TAGGER, "min_tree_freq": 1})
    nlp.add_pipe("attribute_ruler")
    entities = nlp.add_pipe("ner", config={"model": _NER})
    for label in LABELS:
        entities.add_label(label)  # type: ignore[attr-defined]  # typed as a plain callable
    return nlp


def _varied(groups: Sequence[Group], rng: random.Random) -> list[Statement]:
    """Return a sample of the corpus, mostly with names; some with an opener, another statement or an emoji added."""
    openers = load_openers()
    plain = [statement for group in groups for statement in group]
    rng.shuffle(plain)
    named = [statement for statement in plain if statement.entities]
    slotless = [statement for statement in plain if statement.meaning.endswith("|")]
    nameless = [
        *slotless,
        *load_exclamations(),
        *(statement for statement in plain if not statement.entities),
    ]
    chosen = named[: _TEXTS * 3 // 5] + nameless[: _TEXTS * 2 // 5]
    varied: list[Statement] = []
    for statement in chosen:
        chance = rng.random()
        if chance < 0.15:
            varied.append(add_opener(rng.choice(openers), statement))
        elif chance < 0.35:
            varied.append(join_statements(statement, rng.choice(chosen)))
        elif chance < 0.45:
            varied.append(add_emoji(statement, rng.choice(EMOJI)))
        else:
            varied.append(statement)
    return varied


def _example(nlp: Language, statement: Statement) -> Example:
    doc = nlp.make_doc(statement.text)
    syntax = annotate(doc, statement.entities)
    return Example.from_dict(doc, {"entities": list(statement.entities), **syntax})


def _fit(nlp: Language, examples: list[Example], rng: random.Random) -> None:
    optimizer = nlp.initialize(lambda: examples[:500])
    rules: Any = nlp.get_pipe("attribute_ruler")  # initialize() has removed its rules
    rules.add([[{"IS_SPACE": True}]], {"TAG": "_SP", "POS": "SPACE"})
    with nlp.select_pipes(enable=["ner"]):
        _train(nlp, examples, _EPOCHS, optimizer, rng)
    with nlp.select_pipes(enable=_SYNTAX):
        _train(nlp, examples[:_SYNTAX_TEXTS], _SYNTAX_EPOCHS, optimizer, rng)


def _train(nlp: Language, examples: list[Example], epochs: int, optimizer: Any, rng: random.Random) -> None:
    for _ in range(epochs):
        rng.shuffle(examples)
        for start in range(0, len(examples), _BATCH):
            nlp.update(examples[start : start + _BATCH], sgd=optimizer, drop=0.2)


def _f1(nlp: Language, examples: Sequence[Example]) -> float:
    _predict(nlp, examples)
    scores = Scorer.score_spans(examples, "ents", getter=_entities)
    return float(scores["ents_f"])


def _syntax_scores(nlp: Language, examples: Sequence[Example]) -> dict[str, float]:
    """Return how often tags, lemmas and heads are those of the rules."""
    _predict(nlp, examples)
    tokens = [
        (token, reference)
        for example in examples
        for token, reference in zip(example.predicted, example.reference, strict=True)
    ]
    return {
        "tags": sum(token.tag == reference.tag for token, reference in tokens) / len(tokens),
        "lemmas": sum(token.lemma == reference.lemma for token, reference in tokens) / len(tokens),
        "heads": sum(token.head.i == reference.head.i for token, reference in tokens) / len(tokens),
    }


def _predict(nlp: Language, examples: Sequence[Example]) -> None:
    for example, doc in zip(examples, nlp.pipe(example.text for example in examples), strict=True):
        example.predicted = doc


def _entities(doc: Doc, _: str) -> tuple[Span, ...]:
    return tuple(doc.ents)
