"""The program `qda-worker`: wrong command lines and missing packages are reported before anything is loaded."""

import subprocess
import sys

import pytest

from model_cache.errors import UsageError
from qda_worker.cli import in_container, qda_worker


def test_kubernetes_is_a_container() -> None:
    assert in_container({"KUBERNETES_SERVICE_HOST": "10.0.0.1"})


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["serve", "--lisen", "x"], "did you mean --listen?"),
        (["serve", "--device", "cdua"], 'did you mean "cuda"'),
        (["serve", "--drain-delay", "soon"], "5s"),
        (["serve", "--check-interval", "0"], "above 0"),
        (["sevre"], 'did you mean "serve"'),
        (["prepare", "--model", "x"], "--precision, --out"),
        ([], "COMMAND"),
    ],
)
def test_a_wrong_command_line_is_one_clear_error(arguments: list[str], hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        qda_worker(arguments, {})
    assert hint in str(caught.value)
    assert "Remedy: " in str(caught.value)


def test_a_missing_extra_is_a_usage_error_and_help_needs_none() -> None:
    template = (
        "import sys\n"
        "class Hiding:\n"
        "    def __init__(self, finder): self.finder = finder\n"
        "    def find_spec(self, name, *more):\n"
        "        hidden = name in {'torch', 'structlog', 'spacy', 'grpc_health'}\n"
        "        return None if hidden else self.finder.find_spec(name, *more)\n"
        "sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]\n"
        "from qda_worker.cli import main\n"
        "sys.argv[1:] = {arguments!r}\n"
        "main()\n"
    )
    for arguments, code in ((["serve", "--help"], 0), (["--version"], 0), (["serve"], 2)):
        program = template.replace("{arguments!r}", repr(arguments))
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
