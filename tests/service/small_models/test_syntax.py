"""The tokens of any text are plain spaCy's, for any layers, and also for a text that is read in parts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import spacy
from spacy.language import Language

from qda_worker.errors import TextTooLong
from qda_worker.models.base import LongText
from qda_worker.models.spacy_components import SyntaxLayer
from qda_worker.models.spacy_model import SYNTAX_PART_LENGTH, SpacyModel
from qda_worker.models.syntax import SyntaxOptions
from qda_worker.models.token_columns import Column, Flag
from tests.service.small_models.plain_libraries import pipeline_folder
from tests.service.small_models.test_long_texts import load, written
from tests.support.small_models.statements import Corpus

TEXTS: Final = (
    "Bei IKEA arbeitet Frau Dr. Roser aus Bremen. Der Termin war  öde.\n\nIch 😀 wohne in Köln _ _!",
    " ",
    "\n\n\t",
    "x",
    "gru\u0308n\u00a0und\x00\u200b weiß",
    "(" * 600,
)


@pytest.fixture(scope="module")
def folder(installed: Path) -> Path:
    return pipeline_folder(installed)


@pytest.fixture(scope="module")
def nlp(folder: Path) -> Language:
    return spacy.load(folder)


@pytest.fixture(scope="module")
def model(folder: Path) -> Iterator[SpacyModel]:
    loaded = load(folder)
    yield loaded
    loaded.close()


def plain(nlp: Language, text: str, layers: frozenset[SyntaxLayer]) -> list[tuple[Any, ...]]:
    """Return what the complete pipeline says of each token, without the layers that were not asked for."""
    doc = nlp(text)
    starts = {sentence.start for sentence in doc.sents}

    def asked(layer: SyntaxLayer, value: Any, none: Any = "") -> Any:
        return value if layer in layers else none

    return [
        (
            token.text,
            token.idx,
            bool(token.whitespace_),
            asked(SyntaxLayer.LEMMA, token.lemma_),
            asked(SyntaxLayer.UNIVERSAL_PART_OF_SPEECH, token.pos_),
            asked(SyntaxLayer.FINE_PART_OF_SPEECH, token.tag_),
            asked(SyntaxLayer.MORPHOLOGY, str(token.morph)),
            asked(SyntaxLayer.DEPENDENCY, token.head.i, token.i),
            asked(SyntaxLayer.DEPENDENCY, token.dep_),
            asked(SyntaxLayer.ENTITIES, token.ent_type_),
            asked(SyntaxLayer.ENTITIES, token.ent_iob_ == "B", False),
            asked(SyntaxLayer.SENTENCES, token.i in starts, False),
        )
        for token in doc
    ]


def tokens(
    model: SpacyModel, text: str, layers: frozenset[SyntaxLayer], policy: LongText = LongText.CUT
) -> tuple[list[tuple[Any, ...]], Any]:
    prepared = model.prepare(text, SyntaxOptions(policy, layers=layers))
    finished = model.finish(text, prepared, model.compute(prepared.units))
    answer = finished.answer.compact()  # as the result cache keeps it
    table, strings = answer.table, answer.strings
    found = []
    for position, row in enumerate(zip(*table.tolist(), strict=True)):
        start, length, flags, head, *numbers = row
        lemma, pos, tag, morph, label, entity = (strings[number] for number in numbers)
        found.append(
            (
                text[start : start + length], start, bool(flags & Flag.SPACE_AFTER), lemma, pos, tag, morph,
                position + head, label, entity, bool(flags & Flag.ENTITY_BEGIN),
                bool(flags & Flag.SENTENCE_START) and SyntaxLayer.SENTENCES in layers,
            )
        )  # fmt: skip
    return found, finished.usage


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_every_layer_is_plain_spacys(model: SpacyModel, nlp: Language, text: str) -> None:
    layers = frozenset(SyntaxLayer)
    assert tokens(model, text, layers)[0] == plain(nlp, text, layers)


@pytest.mark.parametrize("layer", SyntaxLayer)
def test_a_layer_alone_is_that_of_the_complete_pipeline(
    model: SpacyModel, nlp: Language, layer: SyntaxLayer
) -> None:
    assert len(model.info.components_for([layer])) < len(model.info.components)
    layers = frozenset({layer})
    assert tokens(model, TEXTS[0], layers)[0] == plain(nlp, TEXTS[0], layers)


def test_a_long_text_read_in_parts_has_the_tokens_of_the_whole(
    model: SpacyModel, nlp: Language, corpus: Corpus
) -> None:
    text = written(corpus, 5 * SYNTAX_PART_LENGTH // 2)
    prepared = model.prepare(text, SyntaxOptions())
    assert len(prepared.units) == 3
    for layers in (frozenset(SyntaxLayer), frozenset({SyntaxLayer.ENTITIES, SyntaxLayer.LEMMA})):
        found, usage = tokens(model, text, layers)
        assert found == plain(nlp, text, layers)
        assert (usage.token_count, usage.used_token_count, usage.window_count) == (len(found), len(found), 1)


def test_a_text_without_borders_of_sentences_is_divided_consistently(model: SpacyModel) -> None:
    """The parser finds none in it, so the windows are joined within the sentence; every head stays in its part."""
    text = "und, " * 5_000
    found, _ = tokens(model, text, frozenset(SyntaxLayer))
    assert "".join(token + " " * space for token, _, space, *_ in found) == text
    starts = [number for number, token in enumerate(found) if token[-1]]
    for start, end in zip(starts, [*starts[1:], len(found)], strict=True):
        heads = [found[number][7] for number in range(start, end)]
        assert all(start <= head < end for head in heads)
        assert sum(head == number for number, head in enumerate(heads, start)) == 1


def test_a_word_longer_than_a_part_is_divided_and_complete(model: SpacyModel) -> None:
    text = f"Otto sah {'x' * 2 * SYNTAX_PART_LENGTH} in Köln."
    found, _ = tokens(model, text, frozenset(SyntaxLayer))
    assert "".join(token + " " * space for token, _, space, *_ in found) == text


def test_a_text_over_the_limit_is_refused_cut_or_windowed(
    folder: Path, nlp: Language, corpus: Corpus
) -> None:
    from model_cache.catalog.catalog import Serving
    from qda_worker.models.loading import load_model
    from tests.support.tiny_models import spacy_model

    text = written(corpus, 9_000)
    layers = frozenset({SyntaxLayer.SENTENCES, SyntaxLayer.LEMMA})
    limited: Any = load_model(spacy_model(Serving(max_tokens=4_000)), folder, device="cpu", threads=1)
    try:
        with pytest.raises(TextTooLong):
            limited.prepare(text, SyntaxOptions(LongText.ERROR))
        cut, usage = tokens(limited, text, layers)
        assert usage.cut
        whole = plain(nlp, text, layers)
        assert cut == plain(nlp, text[: cut[-1][1] + len(cut[-1][0]) + cut[-1][2]], layers)
        assert usage.token_count == len(whole) > usage.used_token_count == len(cut)
        windowed, usage = tokens(limited, text, layers, LongText.WINDOW)
        assert windowed == whole
        assert usage.window_count >= 3
    finally:
        limited.close()


def test_tables_are_numbers_in_one_array(model: SpacyModel) -> None:
    prepared = model.prepare(TEXTS[0], SyntaxOptions())
    (output,) = model.compute(prepared.units)
    assert output.table is not None
    assert output.table.shape == (len(Column), len(output.table[0]))
    assert output.table.dtype.kind == "i"
