"""The command line: its options, its usage errors, and what it imports."""

import io
import subprocess
import sys
from pathlib import Path

import pytest

from cache_warmer.cli import COMMANDS, cache_warmer
from model_cache.errors import ModelCacheError, UsageError


@pytest.mark.parametrize("command", ["migrate", "diagnose"])
def test_an_unknown_command_is_a_usage_error_with_the_known_ones(command: str) -> None:
    with pytest.raises(UsageError, match=f'unknown COMMAND "{command}"') as caught:
        cache_warmer([command, "--any", "thing"], {})
    assert caught.value.reason.exit_code == 2
    assert caught.value.remedy == f"give one of: {', '.join(one.name for one in COMMANDS)}, completion"


def test_the_help_lists_exactly_the_commands_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cache_warmer(["--help"], {})
    lines = capsys.readouterr().out.partition("COMMAND")[2].splitlines()
    listed = [line.split()[0] for line in lines if line.startswith("    ") and line[4] != " "]
    assert listed == [*(command.name for command in COMMANDS), "completion"]


@pytest.mark.parametrize(
    ("arguments", "message"),
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
def test_a_wrong_argument_is_a_usage_error_with_a_remedy(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        cache_warmer(arguments, {})
    assert message in str(caught.value)
    assert "Remedy: " in str(caught.value)


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
def test_the_help_of_a_command_begins_with_its_summary(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        cache_warmer([command, "--help"], {})
    (summary,) = (one.help for one in COMMANDS if one.name == command)
    text = " ".join(capsys.readouterr().out.split())
    assert f"{summary[0].upper()}{summary[1:]}." in text


def test_an_invalid_variable_is_named_in_the_error() -> None:
    with pytest.raises(ModelCacheError, match="HF_ENDPOINT"):
        cache_warmer(["plan"], {"HF_ENDPOINT": "huggingface.co"})


def test_an_unknown_key_is_a_usage_error_of_plan_and_warm(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="german-sentiment"):
        cache_warmer(["plan", "--model", "german-sentimnt", "--cache", str(tmp_path)], {})
    err = io.StringIO()
    code = cache_warmer(
        ["warm", "--model", "german-sentimnt", "--cache", str(tmp_path)], {}, io.StringIO(), err
    )
    assert code == 2
    assert 'did you mean "german-sentiment"' in err.getvalue()
    assert not (tmp_path / ".model-cache").exists()


def test_env_prints_the_folders_of_a_cache(tmp_path: Path) -> None:
    out = io.StringIO()

    assert cache_warmer(["env", "--cache", str(tmp_path), "--format", "dotenv"], {}, out) == 0

    assert f"TORCH_HOME={tmp_path}/torch\n" in out.getvalue()


def test_nothing_heavy_is_imported_before_it_is_needed() -> None:
    """Keep a warm with nothing to do below a second: the import of the hub library alone takes half of that."""
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
