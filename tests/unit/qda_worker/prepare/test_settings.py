"""The options of `qda-worker prepare`, and what is refused before anything is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

from model_cache.catalog.catalog import Precision
from model_cache.errors import ModelCacheError, UsageError
from model_cache.prepared_failure import FAILURE_SUFFIX, read_failures
from model_cache.reasons import Reason
from qda_worker.cli import qda_worker


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--precision", "int8", "--out", "x"], "--model"),
        (["--model", "german-ner", "--precision", "int8", "--out", "x"], "spaCy"),
        (["--model", "german-sentiment", "--precision", "int4", "--out", "x"], 'did you mean "int8"'),
        (["--model", "german-sentiment", "--precision", "fp32", "--out", "x"], "bf16, int8"),
        (
            ["--model", "german-sentimnt", "--precision", "bf16", "--out", "x"],
            'did you mean "german-sentiment"',
        ),
        (["--model", "german-sentiment", "--precision", "bf16", "--out", ""], "--out"),
        (["--model", "german-sentiment", "--precision", "bf16", "--out", "x", "--texts", "/none"], "--texts"),
        (["--model", "german-sentiment", "--precision", "bf16", "--out", "x", "--threads", "0"], "--threads"),
        (["--model", "german-sentiment", "--precison", "bf16", "--out", "x"], "--precision"),
    ],
)
def test_a_wrong_command_line_is_one_clear_error(arguments: list[str], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        qda_worker(["prepare", *arguments], {})
    assert hint in str(caught.value)


def test_int8_without_nncf_names_the_extra() -> None:
    program = (
        "import sys\n"
        "class Hiding:\n"
        "    def __init__(self, finder): self.finder = finder\n"
        "    def find_spec(self, name, *more):\n"
        "        return None if name == 'nncf' else self.finder.find_spec(name, *more)\n"
        "sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]\n"
        "from qda_worker.cli import main\n"
        "sys.argv[1:] = 'prepare --model german-sentiment --precision int8 --out /tmp/none'.split()\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "qda-worker[worker,prepare]" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_is_not_in_the_cache_names_the_command_that_fetches_it(tmp_path: Path) -> None:
    options = ["--model", "german-sentiment", "--precision", "bf16", "--out", str(tmp_path / "out")]
    with pytest.raises(ModelCacheError) as caught:
        qda_worker(["prepare", *options, "--cache", str(tmp_path / "cache")], {})
    assert caught.value.reason is Reason.CACHE_INCOMPLETE
    assert "cache-warmer warm" in caught.value.remedy
    assert "--model german-sentiment" in caught.value.remedy
    assert not (tmp_path / "out").exists()


def test_a_failure_for_a_later_step_is_a_file_and_no_failure_of_this_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--model", "german-sentiment", "--precision", "bf16", "--out", str(tmp_path / "out")]
    file = tmp_path / f"german-sentiment{FAILURE_SUFFIX}"
    code = qda_worker(["prepare", *options, "--cache", str(tmp_path / "cache"), "--failure", str(file)], {})

    (failure,) = read_failures(tmp_path)
    assert (code, failure.model, failure.precision) == (0, "german-sentiment", Precision.BF16)
    assert failure.reason is Reason.CACHE_INCOMPLETE
    assert "is not complete in the cache" in failure.message
    assert str(Reason.CACHE_INCOMPLETE) in capsys.readouterr().err
