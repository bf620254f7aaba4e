"""Entities from the spaCy process equal those of plain spaCy on the same package, offsets included."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import spacy
from spacy.language import Language
from spacy.training import Example
from thinc.api import fix_random_seed

from model_cache.catalog.catalog import Serving
from qda_worker.errors import ModelFailed, ModelUnusable, TextEmpty, TextTooLong
from qda_worker.models.base import LengthUnit, LongText, Options, TextResult, Unit
from qda_worker.models.entity_windows import Entity
from qda_worker.models.loading import load_model
from qda_worker.models.spacy_model import PART_LENGTH, SpacyModel
from qda_worker.models.spacy_protocol import Passage
from tests.support.tiny_models import spacy_model

SENTENCES: Final = (
    "Frau Müller wohnt in Köln .",
    "Anna und Otto arbeiten bei Siemens in Berlin .",
    "Das ist gut .",
    "Köln",
)
NAMES: Final = {
    "Müller": "PER",
    "Anna": "PER",
    "Otto": "PER",
    "Köln": "LOC",
    "Berlin": "LOC",
    "Siemens": "ORG",
}
TEXTS: Final = (*SENTENCES, "😀 Frau Mu\u0308ller\r\naus Köln – und  Otto\x00!", "   ", "x" * 300)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a pipeline in the layout of de_core_news_lg: a shared tok2vec, tagger and parser before the ner."""
    fix_random_seed(0)
    nlp = spacy.blank("de")
    nlp.add_pipe("tok2vec", config={"model": {"width": 32}})
    listener = {"@architectures": "spacy.Tok2VecListener.v1", "width": 32, "upstream": "*"}
    nlp.add_pipe("tagger", config={"model": {"tok2vec": listener}})
    nlp.add_pipe("parser", config={"model": {"tok2vec": listener}, "min_action_freq": 1})
    nlp.add_pipe("ner", config={"model": {"tok2vec": listener}})
    rules: Any = nlp.add_pipe("attribute_ruler", before="ner")
    examples = [_example(nlp, sentence) for sentence in SENTENCES]
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(25):
        nlp.update(examples, sgd=optimizer)
    rules.add([[{"TAG": "NE"}]], {"POS": "PROPN"})  # initialize() removes rules, so they are added after it
    folder = tmp_path_factory.mktemp("spacy") / "de_tiny-1.0.0"
    nlp.to_disk(folder)
    return folder


def _example(nlp: Language, sentence: str) -> Example:
    doc = nlp.make_doc(sentence)
    words = [token.text for token in doc]
    annotations = {
        "words": words,
        "tags": ["NE" if word in NAMES else "XY" for word in words],
        "heads": [0] * len(words),
        "deps": ["ROOT", *["dep"] * (len(words) - 1)],
        "entities": [f"U-{NAMES[word]}" if word in NAMES else "O" for word in words],
    }
    return Example.from_dict(doc, annotations)


@contextmanager
def loaded(folder: Path, serving: Serving | None = None) -> Iterator[SpacyModel]:
    model = load_model(spacy_model(serving), folder, device="cpu", threads=1)
    assert isinstance(model, SpacyModel)
    try:
        yield model
    finally:
        model.close()


@pytest.fixture(scope="module")
def shared(package: Path) -> Iterator[SpacyModel]:
    """One process for all tests that do not change it: each takes seconds to start."""
    with loaded(package) as model:
        yield model


def pid_of(model: SpacyModel) -> int:
    pid = model._process.pid
    assert pid is not None
    return pid


def answer(model: Any, text: str, policy: LongText = LongText.CUT) -> TextResult[tuple[Entity, ...]]:
    prepared = model.prepare(text, Options(policy))
    finished: TextResult[tuple[Entity, ...]] = model.finish(text, prepared, model.compute(prepared.units))
    return finished


def plain(folder: Path, text: str) -> list[tuple[str, str, int, int]]:
    doc = spacy.load(folder)(text)
    return [(entity.text, entity.label_, entity.start_char, entity.end_char) for entity in doc.ents]


def as_tuples(entities: tuple[Entity, ...]) -> list[tuple[str, str, int, int]]:
    return [(entity.text, entity.label, entity.start, entity.end) for entity in entities]


def test_entities_and_offsets_equal_plain_spacy(package: Path, shared: SpacyModel) -> None:
    found = {text: as_tuples(answer(shared, text).answer) for text in TEXTS}
    assert found == {text: plain(package, text) for text in TEXTS}
    assert found["Köln"] == [("Köln", "LOC", 0, 4)]


def test_a_text_has_the_same_entities_alone_and_in_a_batch(shared: SpacyModel) -> None:
    together = shared.compute([shared.prepare(text, Options()).units[0] for text in TEXTS])
    alone = [shared.compute(shared.prepare(text, Options()).units)[0] for text in TEXTS]
    assert together == alone


def test_token_counts_equal_spacys(package: Path, shared: SpacyModel) -> None:
    text = SENTENCES[1]
    usage = answer(shared, text).usage
    assert usage.token_count == usage.used_token_count == len(spacy.load(package).make_doc(text))
    assert not usage.cut


def test_the_info_has_the_labels_and_the_limit_in_characters(shared: SpacyModel) -> None:
    assert shared.info.labels == ("LOC", "ORG", "PER")
    assert (shared.info.max_length, shared.info.length_unit) == (1_000_000, LengthUnit.CHARACTERS)


def test_a_text_over_the_limit_is_refused_cut_or_windowed(package: Path) -> None:
    text = " ".join(SENTENCES * 10)
    with loaded(package, Serving(max_tokens=200)) as model:
        with pytest.raises(TextTooLong, match="characters and the model reads 200"):
            model.prepare(text, Options(LongText.ERROR))
        cut, windowed = answer(model, text), answer(model, text, LongText.WINDOW)
    whole = plain(package, text)
    doc = spacy.load(package).make_doc(text)
    assert cut.usage.cut
    assert cut.usage.token_count == windowed.usage.token_count == windowed.usage.used_token_count == len(doc)
    assert as_tuples(cut.answer) == [entity for entity in whole if entity[3] <= 200][: len(cut.answer)]
    assert windowed.usage.window_count > 1
    assert as_tuples(windowed.answer) == whole


def test_a_long_text_read_in_parts_has_the_entities_of_the_whole(package: Path, shared: SpacyModel) -> None:
    text = "".join(f"{sentence}{end}" for sentence in TEXTS * 70 for end in (" ", "\n\n", "  "))[:60_000]
    prepared = shared.prepare(text, Options())
    assert len(prepared.units) >= 6
    assert max(unit.length for unit in prepared.units) <= PART_LENGTH
    finished = shared.finish(text, prepared, [shared.compute([unit])[0] for unit in prepared.units])
    assert as_tuples(finished.answer) == plain(package, text)
    tokens = len(spacy.load(package).make_doc(text))
    assert (finished.usage.token_count, finished.usage.used_token_count) == (tokens, tokens)
    assert (finished.usage.window_count, finished.usage.cut) == (1, False)


def test_the_tokens_of_the_part_cut_off_are_counted(package: Path) -> None:
    text = "Anna und Otto wohnen in Köln.\n" * 10_000
    with loaded(package, Serving(max_tokens=1_000)) as model:
        prepared = model.prepare(text, Options())
        finished = model.finish(text, prepared, [model.compute([unit])[0] for unit in prepared.units])
    assert [unit.payload.layers == () for unit in prepared.units] == [False, True, True, True]
    assert finished.usage.cut
    assert finished.usage.token_count == len(spacy.load(package).make_doc(text))
    assert finished.usage.used_token_count == len(spacy.load(package).make_doc(text[: prepared.used_length]))
    assert as_tuples(finished.answer) == plain(package, text[: prepared.used_length])


@pytest.mark.parametrize("word", ["x" * 50_000, "(" * 2_000, "😀" * 2_000, "a." * 25_000])
def test_a_very_long_word_is_read_like_any_other(package: Path, shared: SpacyModel, word: str) -> None:
    text = f"Otto sah {word} in Köln . Anna auch ."
    found = answer(shared, text)
    assert [entity.text for entity in found.answer] == [text[each.start : each.end] for each in found.answer]
    tokens = len(spacy.load(package).make_doc(text))
    if len(word) < PART_LENGTH:
        assert as_tuples(found.answer) == plain(package, text)
        assert found.usage.token_count == tokens
    else:  # read in parts, which plain spaCy does not do: the word is several tokens
        assert tokens <= found.usage.token_count <= tokens + len(word) // 1_000


def test_an_empty_text_is_refused_and_whitespace_is_not(shared: SpacyModel) -> None:
    with pytest.raises(TextEmpty):
        shared.prepare("", Options())
    assert answer(shared, " \n\t ").answer == ()


def test_an_exception_of_spacy_fails_the_batch_and_not_the_process(shared: SpacyModel) -> None:
    too_long = Unit(Passage("x " * 500_001, 0, 1_000_002), 1_000_002)
    with pytest.raises(ModelFailed, match="spaCy raised ValueError"):
        shared.compute([too_long])
    assert as_tuples(answer(shared, "Köln").answer) == [("Köln", "LOC", 0, 4)]
    assert shared.failure is None


def test_the_process_ignores_the_signals_that_start_a_drain(shared: SpacyModel) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid_of(shared), number)
    assert as_tuples(answer(shared, "Köln").answer) == [("Köln", "LOC", 0, 4)]


def test_the_process_ends_when_its_parent_is_killed(package: Path) -> None:
    """SIGKILL gives the parent no chance to end it."""
    program = (
        "import sys, time; from pathlib import Path; from qda_worker.models.spacy_model import SpacyProcess\n"
        f"print(SpacyProcess(Path({str(package)!r}), 1).pid, flush=True); time.sleep(600)"
    )
    path = os.pathsep.join(sys.path)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": path}
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        parent.kill()
    ended = threading.Event()
    for _ in range(600):
        if not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes():
            break
        ended.wait(0.05)
    else:
        pytest.fail("the spaCy process outlived its parent")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_the_process_loads_no_torch(shared: SpacyModel) -> None:
    assert "libtorch" not in Path(f"/proc/{pid_of(shared)}/maps").read_text(encoding="utf-8")


def damaged(package: Path, folder: Path, name: str, content: bytes) -> Path:
    """Return a copy of the package with one file replaced."""
    for file in package.rglob("*"):
        if file.is_file():
            target = folder / file.relative_to(package)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content if file.relative_to(package).as_posix() == name else file.read_bytes())
    return folder


def test_a_package_for_another_version_of_spacy_is_refused(package: Path, tmp_path: Path) -> None:
    meta = (package / "meta.json").read_bytes()
    version = spacy.util.load_meta(package / "meta.json")["spacy_version"].encode()
    folder = damaged(package, tmp_path / "old", "meta.json", meta.replace(version, b">=3.2.0,<3.3.0"))
    with pytest.raises(ModelUnusable, match=r"tiny-ner: the package is made for spaCy >=3.2.0,<3.3.0"):
        load_model(spacy_model(), folder, device="cpu", threads=1)


@pytest.mark.parametrize("name", ["ner/model", "config.cfg"])
def test_a_damaged_file_is_reported_in_one_line(package: Path, tmp_path: Path, name: str) -> None:
    folder = damaged(package, tmp_path / "damaged", name, b"\x00\x01")
    with pytest.raises(ModelUnusable, match="model tiny-ner: ") as refused:
        load_model(spacy_model(), folder, device="cpu", threads=1)
    assert "\n" not in str(refused.value)
    assert "cache-check" in refused.value.remedy


def test_a_pipeline_without_entities_is_refused(tmp_path: Path) -> None:
    spacy.blank("de").to_disk(tmp_path / "blank")
    with pytest.raises(ModelUnusable, match="no component that finds named entities"):
        load_model(spacy_model(), tmp_path / "blank", device="cpu", threads=1)


def test_a_pipeline_with_only_rules_works(tmp_path: Path) -> None:
    nlp = spacy.blank("de")
    ruler: Any = nlp.add_pipe("entity_ruler")
    ruler.add_patterns([{"label": "ORT", "pattern": "Köln"}])
    nlp.to_disk(tmp_path / "rules")
    with loaded(tmp_path / "rules") as model:
        assert as_tuples(answer(model, "in Köln").answer) == [("Köln", "ORT", 3, 7)]
        assert model.info.labels == ("ORT",)
