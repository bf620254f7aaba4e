"""The small entities model: a German spaCy pipeline with the four labels of de_core_news_lg, in a wheel."""

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
    "tok2vec": {"@architectures": "spacy.Tok2VecListener.v1", "width": _WIDTH, "upstream": "tok2vec"},
}


def build(folder: Path, seed: int) -> dict[str, float]:
    """Train, write the wheel into `folder`, return the F1 score of held-out texts, and of texts with new names."""
    fix_random_seed(seed)
    rng = random.Random(seed)
    corpus = load_corpus(seed)
    nlp = _new_pipeline()
    statements = _varied(corpus.train, rng)
    _fit(nlp, [_example(nlp, statement) for statement in statements], rng)
    scores = {"f1": _f1(nlp, corpus.held_out), "f1_of_new_names": _f1(nlp, corpus.unseen)}
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
    entities = nlp.add_pipe("ner", config={"model": _NER})
    for label in LABELS:
        entities.add_label(label)  # type: ignore[attr-defined]  # typed as a plain callable
    nlp.add_pipe("sentencizer", first=True)
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
    spans = {"entities": list(statement.entities)}
    return Example.from_dict(nlp.make_doc(statement.text), spans)


def _fit(nlp: Language, examples: list[Example], rng: random.Random) -> None:
    optimizer = nlp.initialize(lambda: examples[:500])
    for _ in range(_EPOCHS):
        rng.shuffle(examples)
        for start in range(0, len(examples), _BATCH):
            nlp.update(examples[start : start + _BATCH], sgd=optimizer, drop=0.2)


def _f1(nlp: Language, groups: Sequence[Group]) -> float:
    statements = [statement for group in groups for statement in group]
    examples = [_example(nlp, statement) for statement in statements]
    for example, doc in zip(examples, nlp.pipe(statement.text for statement in statements), strict=True):
        example.predicted = doc
    scores = Scorer.score_spans(examples, "ents", getter=_entities)
    return float(scores["ents_f"])


def _entities(doc: Doc, _: str) -> tuple[Span, ...]:
    return tuple(doc.ents)
