"""Entities of a long text, read in parts, are those of plain spaCy, also among other texts and after a restart."""

import random
from pathlib import Path

from qda_worker.models.base import Options
from qda_worker.models.loading import load_model
from qda_worker.models.spacy_model import SpacyModel
from tests.service.small_models.plain_libraries import entities, pipeline_folder
from tests.support.small_models.statements import Corpus
from tests.support.tiny_models import spacy_model


def written(corpus: Corpus, length: int) -> str:
    """Return a text of statements that the model was not trained on, with all kinds of borders between them."""
    draw = random.Random(7)
    statements = [statement.text for group in corpus.held_out for statement in group]
    parts, size = [], 0
    while size < length:
        statement = draw.choice(statements)
        if draw.random() < 0.3:
            statement = statement.rstrip(".!?")
        parts.append(statement + draw.choice([" ", " ", "\n", "  ", "\n\n", " – ", "… ", " 😀 "]))
        size += len(parts[-1])
    return "".join(parts)


def load(folder: Path) -> SpacyModel:
    model = load_model(spacy_model(), folder, device="cpu", threads=1)
    assert isinstance(model, SpacyModel)
    return model


def found_by(model: SpacyModel, text: str, at_once: int) -> set[tuple[int, int, str]]:
    prepared = model.prepare(text, Options())
    units = prepared.units
    outputs = [
        output
        for start in range(0, len(units), at_once)
        for output in model.compute(units[start : start + at_once])
    ]
    answer = model.finish(text, prepared, outputs).answer
    return {(entity.start, entity.end, entity.label) for entity in answer}


def test_entities_of_long_texts_are_plain_spacys(installed: Path, corpus: Corpus) -> None:
    folder, text = pipeline_folder(installed), written(corpus, 50_000)
    lengths = (9_999, 10_000, 10_001, 50_000)
    expected = entities(folder, [text[:length] for length in lengths])
    assert len(expected[-1]) > 500
    for at_once in (1, 3):  # each in a process of its own
        model = load(folder)
        try:
            assert [found_by(model, text[:length], at_once) for length in lengths] == expected
        finally:
            model.close()
