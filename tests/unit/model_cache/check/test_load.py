"""Loading as a check: what is asked, what the answers are compared with, and what a model that fails is called."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from model_cache.catalog.catalog import Model
from model_cache.catalog.expected_answers import Answer, Kind, Question
from model_cache.catalog.lock import Lock, LockedModel, load_lock
from model_cache.check.check import check
from model_cache.check.load import Loads, Probed, check_by_loading, record_answers
from model_cache.check.report import loaded_lines, to_json, to_table
from model_cache.check.types import Tier
from model_cache.errors import LockInvalid, ModelCacheError, UsageError
from model_cache.reasons import Reason
from tests.support.cache_trees import ENTITIES, MODELS, SENTIMENT, CacheTree, build_cache

GLAD: Final = Question(Kind.LABEL, "Das ist schön.")
SHARES: Final = Question(Kind.PROBABILITIES, "Das ist schön.")
LABELS: Final = Question(Kind.LABELS)
SAID: Final[dict[str, dict[Question, object]]] = {
    "mood": {GLAD: "positive", SHARES: {"positive": 0.9, "negative": 0.1}},
    "names": {LABELS: ["LOC", "PER"]},
}


class Models:
    """Answers as loaded models would, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[Question, ...]]] = []

    def probe(self, model: Model, questions: Sequence[Question]) -> Probed:
        self.asked.append((model.key, tuple(questions)))
        said = SAID[model.key]
        return Probed(tuple((question, said[question]) for question in questions or said), 1.5)


def lock_of(*answers: Answer, revision: str = SENTIMENT.revision) -> Lock:
    return Lock({"mood": LockedModel(SENTIMENT.source_name, revision, {}, answers=answers)})


@pytest.fixture
def tree(tmp_path: Path) -> CacheTree:
    return build_cache(tmp_path / "cache")


def load(tree: CacheTree, lock: Lock | None, models: Models, *, record: bool = False) -> Loads:
    return check_by_loading(check(MODELS, tree.places), MODELS, lock, models.probe, record=record)


def test_answers_that_agree_are_well_and_shown_with_what_they_were_compared_with(tree: CacheTree) -> None:
    models = Models()
    expected = [Answer(GLAD, "positive", 0.0, "a paper"), Answer(SHARES, {"positive": 0.905}, 0.01, "")]

    report = load(tree, lock_of(*expected), models).report

    assert (report.reason, report.tier) == (Reason.OK, Tier.LOAD)
    assert models.asked == [("mood", (GLAD, SHARES)), ("names", ())]
    shown = loaded_lines(report.models[0])
    assert shown[0] == "loaded: mood: loaded and answered in 1.5 s; 2 answers compared"
    assert shown[1] == '  label of "Das ist schön.": "positive", as it should be (published: a paper)'
    assert shown[2].startswith(
        '  probabilities of "Das ist schön.": {"positive": 0.9, "negative": 0.1}, as it '
    )
    assert shown[2].endswith("as it should be within 0.01 (recorded)")
    assert "compared with nothing" in to_table(report)


def test_an_answer_that_differs_makes_the_model_unusable_and_says_which(tree: CacheTree) -> None:
    report = load(tree, lock_of(Answer(GLAD, "negative", 0.0, "")), Models()).report

    assert report.reason is Reason.MODEL_UNUSABLE
    assert report.reason.exit_code == 12
    (problem,) = report.models[0].problems
    assert problem.detail == 'label of "Das ist schön.": it said "positive" instead of "negative"'
    assert problem.file == report.models[0].path
    document = json.loads(json.dumps(to_json(report)))
    (compared,) = document["models"][0]["loaded"]["compared"]
    assert compared["difference"] == 'it said "positive" instead of "negative"'


def test_answers_of_another_revision_are_not_compared(tree: CacheTree) -> None:
    lock = lock_of(Answer(GLAD, "negative", 0.0, ""), revision="f" * 40)
    assert load(tree, lock, Models()).report.reason is Reason.OK


def test_a_model_whose_files_are_not_right_is_not_loaded(tree: CacheTree) -> None:
    tree.blob("config.json").unlink()
    models = Models()
    report = load(tree, None, models).report
    assert [key for key, _ in models.asked] == ["names"]
    assert report.reason is Reason.CACHE_INCOMPLETE


def test_a_model_that_does_not_load_is_unusable_and_the_others_are_still_loaded(tree: CacheTree) -> None:
    def probe(model: Model, questions: Sequence[Question]) -> Probed:
        if model is SENTIMENT:
            raise ModelCacheError("it crashed", "look", reason=Reason.MODEL_UNUSABLE)
        return Models().probe(model, questions)

    report = check_by_loading(check(MODELS, tree.places), MODELS, None, probe, record=False).report
    assert [model.reason for model in report.models] == [Reason.MODEL_UNUSABLE, Reason.OK]
    assert report.models[0].problems[0][1:] == (Reason.MODEL_UNUSABLE, "it crashed", "look")


def test_without_what_loads_models_it_is_a_usage_error(tree: CacheTree) -> None:
    def probe(_model: Model, _questions: Sequence[Question]) -> Probed:
        raise UsageError("not installed: torch", "install it")

    with pytest.raises(UsageError, match="torch"):
        check_by_loading(check(MODELS, tree.places), MODELS, None, probe, record=False)


def test_what_was_recorded_is_what_is_compared_next_time(tree: CacheTree, tmp_path: Path) -> None:
    catalog = tmp_path / "c.yaml"
    loads = load(tree, lock_of(Answer(GLAD, "negative", 0.0, "")), Models(), record=True)
    record_answers(tmp_path / "c.lock.json", MODELS, loads.answers)

    lock = load_lock(catalog)
    report = load(tree, lock, Models()).report

    assert report.reason is Reason.OK
    assert [len(model.loaded.compared) for model in report.models if model.loaded] == [2, 1]
    (tmp_path / "c.lock.json").chmod(0o640)
    record_answers(tmp_path / "c.lock.json", MODELS, loads.answers)
    assert load_lock(catalog) == lock, "recording twice is recording once"
    assert (tmp_path / "c.lock.json").stat().st_mode & 0o777 == 0o640


def test_recording_keeps_everything_else_in_the_lock(tree: CacheTree, tmp_path: Path) -> None:
    path = tmp_path / "c.lock.json"
    files = {"config.json": {"bytes": 1, "sha256": None, "git_sha1": None}}
    mood = {"source": "org/mood", "revision": "a" * 40, "files": files, "remark": "ours"}
    other = {"source": "x/y", "revision": "1", "files": {}}
    path.write_text(
        json.dumps({"apiVersion": "qda/v1", "kind": "CatalogLock", "models": {"mood": mood, "else": other}})
    )

    record_answers(path, [SENTIMENT], load(tree, None, Models(), record=True).answers)

    models = json.loads(path.read_text())["models"]
    assert models["else"] == other
    assert {**models["mood"], "answers": []} == {**mood, "answers": []}
    assert [answer["kind"] for answer in models["mood"]["answers"]] == ["label", "probabilities"]


def test_recording_into_a_lock_of_another_revision_or_into_no_lock_is_refused(
    tree: CacheTree, tmp_path: Path
) -> None:
    answers = load(tree, None, Models(), record=True).answers
    path = tmp_path / "c.lock.json"
    other = {"source": ENTITIES.source_name, "revision": "2.0.0", "files": {}}
    path.write_text(json.dumps({"apiVersion": "qda/v1", "kind": "CatalogLock", "models": {"names": other}}))
    before = path.read_bytes()
    with pytest.raises(LockInvalid, match=r"cache-warmer lock"):
        record_answers(path, MODELS, answers)
    assert path.read_bytes() == before
    with pytest.raises(ModelCacheError, match="cannot write the lock"):
        record_answers(tmp_path / "no" / "folder.json", MODELS, answers)
    with pytest.raises(ModelCacheError, match="cannot write the lock"):
        record_answers(tmp_path, MODELS, answers)
