"""The completion scripts: a real bash completes with them; those of zsh and fish have the same commands and options."""

import subprocess
from pathlib import Path
from typing import Final

import pytest

from model_cache.check.cli import cache_check
from model_cache.cli.completion import Shell, completion_script
from model_cache.cli.parser import OptionParser

# Completes each line of stdin, whose words are separated by `|`, and prints the words on one line.
_COMPLETE: Final = """
source "$1"
compopt() { set_options="$*"; }
while IFS='|' read -r -a COMP_WORDS; do
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) set_options="" COMPREPLY=()
    [[ ${COMP_WORDS[COMP_CWORD]} == "-" ]] && COMP_WORDS[COMP_CWORD]=""
    _tool
    echo "${COMPREPLY[*]}${set_options:+ ($set_options)}"
done
"""


def tool() -> OptionParser:
    """Return a parser with all kinds of options."""
    parser = OptionParser(prog="tool", description="A tool.")
    parser.add_version()
    commands = parser.add_subparsers(dest="command", parser_class=OptionParser)
    read = commands.add_parser("read", help='read "files": all [of] them')
    read.add_argument("files", nargs="*", metavar="FILE", help="files")
    read.add_argument("-o", "--output", metavar="FILE", help="where it's written (default: stdout)")
    read.add_argument("--cache", metavar="DIR", help="folder; the cache")
    read.add_argument("--format", metavar="csv|json", help="format")
    read.add_argument("--key", metavar="KEY", action="append", help="key: one of $HOME")
    commands.add_parser("cache", help="show the cache").add_argument("--kind", choices=["dense", "sparse"])
    parser.add_completion(commands)
    return parser


@pytest.fixture(scope="module")
def completed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what bash completes of each line."""
    script = tmp_path_factory.mktemp("completion") / "tool.bash"
    script.write_text(completion_script(tool(), Shell.BASH), encoding="utf-8")
    lines = [
        "tool|-",
        "tool|re",
        "tool|--v",
        "tool|read|--f",
        "tool|read|--format|-",
        "tool|read|--format|=|j",
        "tool|read|--format|=",
        "tool|read|--output|-",
        "tool|read|-o|-",
        "tool|read|--cache|-",
        "tool|read|--key|-",
        "tool|read|-",
        "tool|read|cache|--k",
        "tool|cache|--kind|s",
        "tool|completion|-",
    ]
    answer = subprocess.run(
        ["bash", "--norc", "-c", _COMPLETE, "bash", str(script)],
        input="\n".join(lines) + "\n", capture_output=True, check=True, text=True, timeout=30,
    )  # fmt: skip
    assert not answer.stderr
    return dict(zip(lines, answer.stdout.splitlines(), strict=True))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("tool|-", "read cache completion (+o default)"),
        ("tool|re", "read (+o default)"),
        ("tool|--v", "--version"),
        ("tool|read|--f", "--format"),
        ("tool|read|--format|-", "csv json (+o default)"),
        ("tool|read|--format|=|j", "json (+o default)"),
        ("tool|read|--format|=", "csv json (+o default)"),
        ("tool|cache|--kind|s", "sparse (+o default)"),
        ("tool|completion|-", "bash zsh fish (+o default)"),
    ],
)
def test_bash_completes_commands_options_and_values(completed: dict[str, str], line: str, words: str) -> None:
    assert completed[line] == words


def test_bash_completes_files_folders_and_nothing(completed: dict[str, str]) -> None:
    files = {completed[line] for line in ("tool|read|--output|-", "tool|read|-o|-", "tool|read|-")}
    assert files == {""}  # what readline does by default
    assert completed["tool|read|--cache|-"] == " (-o dirnames +o default)"
    assert completed["tool|read|--key|-"] == " (+o default)"


def test_a_file_with_the_name_of_a_command_is_no_command(completed: dict[str, str]) -> None:
    assert completed["tool|read|cache|--k"] == "--key"


def test_zsh_and_fish_know_the_same_and_texts_are_escaped() -> None:
    zsh, fish = completion_script(tool(), Shell.ZSH), completion_script(tool(), Shell.FISH)
    assert '\'1:command:((read\\:"read \\"files\\"\\: all \\[of\\] them"' in zsh
    assert "'--output=[where it'\\''s written]:FILE:_files'" in zsh
    assert "'--cache=[folder]:DIR:_files -/'" in zsh
    assert "'*--key=[key]:KEY: '" in zsh
    assert "'--kind=[]:KIND:(dense sparse)'" in zsh
    assert "'*:FILE:_files'" in zsh
    of_read = "complete -c tool -n '__fish_seen_subcommand_from read'"
    assert f"{of_read} -s o -l output -r -F -d 'where it\\'s written'" in fish
    assert f"{of_read} -l cache -x -a '(__fish_complete_directories)' -d folder" in fish
    assert f"{of_read} -l format -x -a 'csv json' -d format" in fish
    assert f"{of_read} -F\n" in fish


@pytest.mark.parametrize("shell", list(Shell))
def test_a_program_without_commands_has_an_option(
    shell: Shell, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit) as ended:
        cache_check(["--completion", shell], {"HOME": str(tmp_path)})
    assert ended.value.code == 0
    script = capsys.readouterr().out
    assert f"Written by: cache-check --completion {shell}" in script
    assert "load-timeout" in script
