"""The child process that loads a model may crash, hang, or print anything."""

import json
import os
import sys
from pathlib import Path
from typing import Final

import pytest

from model_cache.catalog.expected_answers import Question, QuestionKind
from model_cache.check.load import ProbeResult, subprocess_probe
from model_cache.errors import ModelCacheError, UsageError
from model_cache.places import resolve_places
from model_cache.reasons import Reason
from tests.support.cache_trees import SENTIMENT

GLAD: Final = Question(QuestionKind.LABEL, "Schön.")


def probed(tmp_path: Path, program: str, timeout: float = 60.0, **environ: str) -> ProbeResult:
    places = resolve_places(str(tmp_path / "cache"), {}, tmp_path)
    command = (sys.executable, "-c", program)
    given = {"PATH": os.environ["PATH"], **environ}
    return subprocess_probe(tmp_path / "c.yaml", places, given, timeout, command)(SENTIMENT, [GLAD])


def failure(tmp_path: Path, program: str, timeout: float = 60.0) -> str:
    with pytest.raises(ModelCacheError) as caught:
        probed(tmp_path, program, timeout)
    assert caught.value.reason is Reason.MODEL_UNUSABLE
    assert caught.value.remedy
    return caught.value.message


def test_the_child_gets_arguments_and_questions_and_returns_answers(tmp_path: Path) -> None:
    program = """
import json, sys
(question,) = json.load(sys.stdin)
print(json.dumps({"answers": [{**question, "value": sys.argv[1:]}], "seconds": 2.5}))
"""
    arguments = ["mood", "--cache", str(tmp_path / "cache"), "--catalog", str(tmp_path / "c.yaml")]
    assert probed(tmp_path, program) == ProbeResult(((GLAD, arguments),), 2.5)


def test_the_child_is_offline_and_has_no_cache_on_its_path(tmp_path: Path) -> None:
    program = """
import json, os
values = [os.environ[name] for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "PYTHONPATH")]
print(json.dumps({"answers": [{"kind": "label", "text": "", "other": "", "value": values}], "seconds": 0}))
"""
    spacy = str(tmp_path / "cache/spacy")
    path = os.pathsep.join([spacy, "/mine", f"{spacy}/.packages/x"])
    ((_, values),) = probed(tmp_path, program, PYTHONPATH=path, HF_HUB_OFFLINE="0").answers
    assert values == ["1", "1", "/mine"]


def test_a_killed_child_is_reported_with_its_last_output(tmp_path: Path) -> None:
    program = (
        "import os, sys; print('reading weights\\n', file=sys.stderr, flush=True); os.kill(os.getpid(), 9)"
    )
    message = failure(tmp_path, program)
    assert (
        message
        == "model mood: the process that loaded it was ended by SIGKILL; its last output: reading weights"
    )


def test_a_child_that_hangs_is_killed_after_the_time_limit(tmp_path: Path) -> None:
    assert "did not load and answer within 0.2 s" in failure(tmp_path, "import time; time.sleep(600)", 0.2)


@pytest.mark.parametrize("printed", ["", "nonsense", "{}", "[]", '{"answers": [{}], "seconds": 1}', "null"])
def test_a_child_without_a_document_is_reported_with_its_status(tmp_path: Path, printed: str) -> None:
    assert "ended with status 0" in failure(tmp_path, f"print({printed!r})")
    assert "ended with status 7" in failure(tmp_path, f"print({printed!r}); raise SystemExit(7)")


def test_the_error_of_the_child_is_passed_on(tmp_path: Path) -> None:
    document = {"reason": "MODEL_UNUSABLE", "message": "weights are cut", "remedy": "repair"}
    assert failure(tmp_path, f"print({json.dumps(document)!r}); raise SystemExit(12)") == "weights are cut"


def test_missing_libraries_are_a_usage_error(tmp_path: Path) -> None:
    document = {"reason": "USAGE", "message": "not installed: torch", "remedy": "install it"}
    with pytest.raises(UsageError, match="--load: not installed: torch"):
        probed(tmp_path, f"print({json.dumps(document)!r}); raise SystemExit(2)")
