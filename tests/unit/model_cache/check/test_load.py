"""The load check: questions, comparison with the lock, failures, and recording."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from model_cache.catalog.catalog import Model
from model_cache.catalog.expected_answers import Answer, Question, QuestionKind
from model_cache.catalog.lock import Lock, LockedModel, load_lock
from model_cache.check.check import check
from model_cache.check.load import LoadCheckResult, ProbeResult, load_and_compare, record_answers
from model_cache.check.report import load_result_lines, report_to_json, report_to_table
from model_cache.check.types import Tier
from model_cache.errors import LockInvalid, ModelCacheError, UsageError
from model_cache.reasons import Reason
from tests.support.cache_trees import ENTITIES, MODELS, SENTIMENT, CacheTree, build_cache

GLAD: Final = Question(QuestionKind.LABEL, "Das ist schön.")
SHARES: Final = Question(QuestionKind.PROBABILITIES, "Das ist schön.")
LABELS: Final = Question(QuestionKind.LABELS)
ANSWERS: Final[dict[str, dict[Question, object]]] = {
    "mood": {GLAD: "positive", SHARES: {"positive": 0.9, "negative": 0.1}},
    "names": {LABELS: ["LOC", "PER"]},
}


class FakeProbe:
    """A probe with prepared answers that keeps the questions it gets."""

    def __init__(self) -> None:
        self.probed: list[tuple[str, tuple[Question, ...]]] = []

    def __call__(self, model: Model, questions: Sequence[Question]) -> ProbeResult:
        self.probed.append((model.key, tuple(questions)))
        answers = ANSWERS[model.key]
        return ProbeResult(tuple((question, answers[question]) for question in questions or answers), 1.5)


def lock_of(*answers: Answer, revision: str = SENTIMENT.revision) -> Lock:
    return Lock({"mood": LockedModel(SENTIMENT.source_name, revision, {}, answers=answers)})


@pytest.fixture
def tree(tmp_path: Path) -> CacheTree:
    return build_cache(tmp_path / "cache")


def load(tree: CacheTree, lock: Lock | None, probe: FakeProbe, *, record: bool = False) -> LoadCheckResult:
    return load_and_compare(check(MODELS, tree.places), MODELS, lock, probe, record=record)


def test_answers_that_agree_are_ok_and_shown_with_their_source(tree: CacheTree) -> None:
    probe = FakeProbe()
    expected = [Answer(GLAD, "positive", 0.0, "a paper"), Answer(SHARES, {"positive": 0.905}, 0.01, "")]

    report = load(tree, lock_of(*expected), probe).report

    assert (report.reason, report.tier) == (Reason.OK, Tier.LOAD)
    assert probe.probed == [("mood", (GLAD, SHARES)), ("names", ())]
    shown = load_result_lines(report.models[0])
    assert shown[0] == "loaded: mood: loaded and answered in 1.5 s; 2 answers compared"
    assert shown[1] == '  label of "Das ist schön.": "positive", as expected (published: a paper)'
    assert shown[2].startswith(
        '  probabilities of "Das ist schön.": {"positive": 0.9, "negative": 0.1}, as expected'
    )
    assert shown[2].endswith(", as expected within 0.01 (recorded)")
    assert "nothing compared" in report_to_table(report)


def test_an_answer_that_differs_makes_the_model_unusable(tree: CacheTree) -> None:
    report = load(tree, lock_of(Answer(GLAD, "negative", 0.0, "")), FakeProbe()).report

    assert report.reason is Reason.MODEL_UNUSABLE
    assert report.reason.exit_code == 12
    (problem,) = report.models[0].problems
    assert problem.detail == 'label of "Das ist schön.": "positive" instead of "negative"'
    assert problem.file == report.models[0].path
    document = json.loads(json.dumps(report_to_json(report)))
    (compared,) = document["models"][0]["loaded"]["compared"]
    assert compared["difference"] == '"positive" instead of "negative"'


def test_answers_of_another_revision_are_not_compared(tree: CacheTree) -> None:
    lock = lock_of(Answer(GLAD, "negative", 0.0, ""), revision="f" * 40)
    assert load(tree, lock, FakeProbe()).report.reason is Reason.OK


def test_a_model_with_damaged_files_is_not_loaded(tree: CacheTree) -> None:
    tree.blob("config.json").unlink()
    probe = FakeProbe()
    report = load(tree, None, probe).report
    assert [key for key, _ in probe.probed] == ["names"]
    assert report.reason is Reason.CACHE_INCOMPLETE


def test_after_a_model_that_does_not_load_the_others_are_loaded(tree: CacheTree) -> None:
    def probe(model: Model, questions: Sequence[Question]) -> ProbeResult:
        if model is SENTIMENT:
            raise ModelCacheError("it crashed", "look", reason=Reason.MODEL_UNUSABLE)
        return FakeProbe()(model, questions)

    report = load_and_compare(check(MODELS, tree.places), MODELS, None, probe, record=False).report
    assert [model.reason for model in report.models] == [Reason.MODEL_UNUSABLE, Reason.OK]
    assert report.models[0].problems[0][1:] == (Reason.MODEL_UNUSABLE, "it crashed", "look")


def test_missing_libraries_are_a_usage_error(tree: CacheTree) -> None:
    def probe(_model: Model, _questions: Sequence[Question]) -> ProbeResult:
        raise UsageError("not installed: torch", "install it")

    with pytest.raises(UsageError, match="torch"):
        load_and_compare(check(MODELS, tree.places), MODELS, None, probe, record=False)


def test_recorded_answers_are_compared_by_the_next_check(tree: CacheTree, tmp_path: Path) -> None:
    catalog = tmp_path / "c.yaml"
    loads = load(tree, lock_of(Answer(GLAD, "negative", 0.0, "")), FakeProbe(), record=True)
    record_answers(tmp_path / "c.lock.json", MODELS, loads.answers)

    lock = load_lock(catalog)
    report = load(tree, lock, FakeProbe()).report

    assert report.reason is Reason.OK
    assert [len(model.loaded.comparisons) for model in report.models if model.loaded] == [2, 1]
    (tmp_path / "c.lock.json").chmod(0o640)
    record_answers(tmp_path / "c.lock.json", MODELS, loads.answers)
    assert load_lock(catalog) == lock, "recording twice is recording once"
    assert (tmp_path / "c.lock.json").stat().st_mode & 0o777 == 0o640


def test_recording_replaces_the_target_of_a_link(tree: CacheTree, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    link = tmp_path / "c.lock.json"
    link.symlink_to("kept/lock.json")

    record_answers(link, MODELS, load(tree, None, FakeProbe(), record=True).answers)

    assert link.is_symlink()
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["lock.json"]
    assert load_lock(tmp_path / "c.yaml") is not None


def test_recording_keeps_everything_else_in_the_lock(tree: CacheTree, tmp_path: Path) -> None:
    path = tmp_path / "c.lock.json"
    files = {"config.json": {"bytes": 1, "sha256": None, "git_sha1": None}}
    mood = {"source": "org/mood", "revision": "a" * 40, "files": files, "remark": "ours"}
    other = {"source": "x/y", "revision": "1", "files": {}}
    path.write_text(
        json.dumps({"apiVersion": "qda/v1", "kind": "CatalogLock", "models": {"mood": mood, "else": other}})
    )

    record_answers(path, [SENTIMENT], load(tree, None, FakeProbe(), record=True).answers)

    models = json.loads(path.read_text())["models"]
    assert models["else"] == other
    assert {**models["mood"], "answers": []} == {**mood, "answers": []}
    assert [answer["kind"] for answer in models["mood"]["answers"]] == ["label", "probabilities"]


def test_recording_into_a_lock_of_another_revision_is_refused(tree: CacheTree, tmp_path: Path) -> None:
    answers = load(tree, None, FakeProbe(), record=True).answers
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
