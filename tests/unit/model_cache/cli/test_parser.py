"""The argument parser: suggestions for commands, and the version."""

import pytest

from model_cache.cli.parser import OptionParser
from model_cache.errors import UsageError


def test_unknown_commands_and_their_options_get_suggestions() -> None:
    parser = OptionParser(prog="prog")
    commands = parser.add_subparsers(dest="command", metavar="command")
    commands.add_parser("warm").add_argument("--stall-timeout")
    with pytest.raises(UsageError, match='unknown command "wram"; did you mean "warm"'):
        parser.parse_args(["wram"])
    with pytest.raises(UsageError, match="did you mean --stall-timeout") as caught:
        parser.parse_args(["warm", "--stal-timeout", "5"])
    assert caught.value.remedy == "see `prog warm --help`"  # the program's own help does not list it


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    parser = OptionParser(prog="prog")
    parser.add_version()
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["--version"])
    assert not caught.value.code
    assert capsys.readouterr().out.startswith("prog ")
