"""The command line: what it takes, what it refuses, and how little it imports."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from cache_warmer.cli import COMMANDS, cache_warmer
from model_cache.errors import ModelCacheError, UsageError

LATER: Final = ["adopt", "publish"]


@pytest.mark.parametrize("command", LATER)
def test_a_command_of_later_says_so(command: str) -> None:
    with pytest.raises(UsageError, match="not there yet") as caught:
        cache_warmer([command, "--any", "thing"], {})
    assert caught.value.reason.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no command"),
        (["wram"], 'did you mean "warm"'),
        (["warm", "--modle", "x"], "did you mean --model"),
        (["collect", "--hub", "http://x"], "collect takes no --hub"),
        (["plan", "--hub", "ftp://x"], "--hub"),
        (["plan", "--wheel-base", "nowhere"], "--wheel-base"),
        (["warm", "--stall-timeout", "0"], "--stall-timeout"),
        (["warm", "--wait", "long"], "--wait"),
        (["env", "--format", "jsn"], "--format"),
    ],
)
def test_a_mistake_is_one_usage_error_with_a_remedy(arguments: list[str], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        cache_warmer(arguments, {})
    assert said in str(caught.value)
    assert "Remedy: " in str(caught.value)


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_the_help_of_a_command_says_what_it_does(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cache_warmer([command, "--help"], {})
    (does,) = (one.help for one in COMMANDS if one.name == command)
    words = " ".join(capsys.readouterr().out.split())
    assert f"{does[0].upper()}{does[1:]}." in words


def test_a_bad_variable_is_named() -> None:
    with pytest.raises(ModelCacheError, match="HF_ENDPOINT"):
        cache_warmer(["plan"], {"HF_ENDPOINT": "huggingface.co"})


def test_an_unknown_key_is_a_usage_error_of_plan_and_of_warm(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="german-sentiment"):
        cache_warmer(["plan", "--model", "german-sentimnt", "--cache", str(tmp_path)], {})
    err = io.StringIO()
    code = cache_warmer(
        ["warm", "--model", "german-sentimnt", "--cache", str(tmp_path)], {}, io.StringIO(), err
    )
    assert code == 2
    assert 'did you mean "german-sentiment"' in err.getvalue()
    assert not (tmp_path / ".model-cache").exists()


def test_env_prints_the_places_of_a_cache(tmp_path: Path) -> None:
    out = io.StringIO()

    assert cache_warmer(["env", "--cache", str(tmp_path), "--format", "dotenv"], {}, out) == 0

    assert f"TORCH_HOME={tmp_path}/torch\n" in out.getvalue()


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    """A second warm ends within a second: the hub library alone takes half of that to import."""
    heavy = "{'huggingface_hub', 'httpx2', 'kubernetes', 'torch', 'numpy', 'requests', 'asyncio', 'concurrent.futures'}"
    program = (
        f"import sys, cache_warmer.cli\nassert not {heavy} & set(sys.modules), {heavy} & set(sys.modules)"
    )
    source = str(Path(__file__).parents[3] / "src")

    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": source},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
