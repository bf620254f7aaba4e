"""Vectors of texts with a prompt equal those of sentence-transformers' `encode(prompt_name=…)`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from model_cache.catalog.catalog import Serving, Task
from qda_worker.errors import ModelUnusable, TextTooLong
from qda_worker.models.base import LongText, Unit, VectorKind
from qda_worker.models.loading import load_model
from qda_worker.models.vectors import VectorOptions
from tests.support.tiny_models import hub_model, write_embedding, write_json

PROMPTS: Final = {"query": "das ist: ", "passage": "die Stadt", "empty": ""}
TEXTS: Final = ("gut und schön", " Köln", "ist", "😀", "die Stadt ist sehr gut " * 20)
LIMIT: Final = 24


@pytest.fixture(scope="module", params=["mean", "cls", "mean without the prompt"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a model with prompts in its own files."""
    written = write_embedding(
        tmp_path_factory.mktemp("prompts") , max_seq_length=LIMIT, normalize=False, pooling=request.param.split()[0],
        heads=request.param == "cls",
    )  # fmt: skip
    write_json(
        written / "config_sentence_transformers.json", {"prompts": PROMPTS, "default_prompt_name": "passage"}
    )
    if "without" in request.param:
        settings = json.loads((written / "1_Pooling" / "config.json").read_text())
        write_json(written / "1_Pooling" / "config.json", {**settings, "include_prompt": False})
    return written


def load(folder: Path, prompts: Mapping[str, str] | None = None) -> Any:
    serving = Serving(prompts=prompts or {})
    return load_model(hub_model(Task.EMBEDDING, serving), folder, device="cpu", threads=1)


def vectors(model: Any, texts: tuple[str, ...], *names: str, **options: Any) -> list[NDArray[np.float32]]:
    """Return the vectors of all texts with all prompts, computed as one batch."""
    prepared = [
        (text, model.prepare(text, VectorOptions(prompt_name=name, **options)))
        for name in names
        for text in texts
    ]
    units: list[Unit[Any]] = [unit for _, each in prepared for unit in each.units]
    outputs = iter(model.compute(units))
    return [
        model.finish(text, each, [next(outputs) for _ in each.units]).answer.dense for text, each in prepared
    ]


def test_vectors_with_a_prompt_are_those_of_the_library(folder: Path) -> None:
    model, plain = load(folder), SentenceTransformer(str(folder), device="cpu")
    assert (model.info.prompts["query"], model.info.default_prompt) == ("das ist: ", "passage")
    found = vectors(model, TEXTS, "query", "passage", "empty", "")
    expected = [
        plain.encode([text], prompt_name=name)[0]
        for name in ("query", "passage", "empty", None)
        for text in TEXTS
    ]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_catalog_adds_prompts_and_wins(folder: Path) -> None:
    model, plain = (
        load(folder, {"query": "Haus ", "title": "Köln: "}),
        SentenceTransformer(str(folder), device="cpu"),
    )
    found = vectors(model, TEXTS, "query", "title", "passage")
    expected = [
        plain.encode([text], prompt=prompt)[0]
        for prompt in ("Haus ", "Köln: ", PROMPTS["passage"])
        for text in TEXTS
    ]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_usage_is_that_of_the_text_and_every_window_has_the_prompt(folder: Path) -> None:
    model = load(folder)
    alone = model.prepare(TEXTS[0], VectorOptions(prompt_name="empty"))
    with_prompt = model.prepare(TEXTS[0], VectorOptions(prompt_name="query"))
    for text in (TEXTS[0], TEXTS[-1]):
        lengths = set()
        for name in ("empty", "query"):
            prepared = model.prepare(text, VectorOptions(LongText.WINDOW, prompt_name=name))
            finished = model.finish(text, prepared, model.compute(prepared.units))
            assert not finished.usage.cut
            lengths.add((finished.usage.token_count, finished.usage.used_token_count))
        assert len(lengths) == 1
    assert with_prompt.length > alone.length
    windows = model.prepare(TEXTS[-1], VectorOptions(LongText.WINDOW, prompt_name="query")).units
    prompt = with_prompt.units[0].payload.ids[:4].tolist()
    assert len(windows) > 3
    assert all(unit.payload.ids[:4].tolist() == prompt for unit in windows)
    assert all(unit.length <= LIMIT for unit in windows)
    with pytest.raises(TextTooLong):
        model.prepare(TEXTS[-1], VectorOptions(LongText.ERROR, prompt_name="query"))


def test_rows_of_windows_are_joined_behind_the_prompt(tmp_path: Path) -> None:
    folder = write_embedding(tmp_path, max_seq_length=LIMIT, normalize=True, pooling="cls", heads=True)
    model = load(folder, PROMPTS)
    kinds = frozenset({VectorKind.MULTI_VECTOR})
    prepared = model.prepare(TEXTS[-1], VectorOptions(LongText.WINDOW, kinds=kinds, prompt_name="query"))
    finished = model.finish(TEXTS[-1], prepared, model.compute(prepared.units))
    assert len(finished.answer.multi) == prepared.used_length - 1


def test_a_model_without_prompts_has_none(tmp_path: Path) -> None:
    """The library adds empty prompts, which would have no effect."""
    model = load(write_embedding(tmp_path, max_seq_length=LIMIT, normalize=True))
    assert (dict(model.info.prompts), model.info.default_prompt) == ({}, None)


def test_a_prompt_that_leaves_no_room_is_refused_or_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """That of the catalog and the default are refused; another one of the model's own is left out."""
    folder = write_embedding(tmp_path, max_seq_length=LIMIT, normalize=True)
    long = "das Haus ist gut " * 6
    with pytest.raises(ModelUnusable, match='its prompt "long" leaves no room'):
        load(folder, {"long": long})
    settings = folder / "config_sentence_transformers.json"
    write_json(settings, {"prompts": {**PROMPTS, "long": long}})
    with caplog.at_level("WARNING", "qda_worker"):
        assert dict(load(folder).info.prompts).keys() == PROMPTS.keys() | {"document"}
    assert 'its prompt "long" leaves no room' in caplog.text
    assert load(folder, {"long": "kurz: "}).info.prompts["long"] == "kurz: "
    write_json(settings, {"prompts": {**PROMPTS, "long": long}, "default_prompt_name": "long"})
    with pytest.raises(ModelUnusable, match='its prompt "long" leaves no room'):
        load(folder)


def test_a_model_that_keeps_the_end_of_a_text_keeps_the_prompt_too(tmp_path: Path) -> None:
    """The library cuts the prompt off a long text then. Texts that fit are as there."""
    folder = write_embedding(tmp_path, max_seq_length=LIMIT, normalize=False)
    write_json(folder / "config_sentence_transformers.json", {"prompts": PROMPTS})
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    write_json(folder / "tokenizer_config.json", {**settings, "truncation_side": "left"})
    model, plain = load(folder), SentenceTransformer(str(folder), device="cpu")
    found = vectors(model, TEXTS[:-1], "query")
    expected = [plain.encode([text], prompt_name="query")[0] for text in TEXTS[:-1]]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    (cut,) = model.prepare(TEXTS[-1], VectorOptions(prompt_name="query")).units
    (short,) = model.prepare("die", VectorOptions(prompt_name="query")).units
    (end,) = model.prepare(TEXTS[-1], VectorOptions(prompt_name="empty")).units
    prompt = short.payload.ids[:4].tolist()
    assert cut.length == LIMIT
    assert cut.payload.ids.tolist() == [*prompt, *end.payload.ids.tolist()[4:]]
