"""Shared options: precedence of flag, variable and default, and errors of wrong values."""

import os
from pathlib import Path
from typing import Final

import pytest

from model_cache.cli.options import (
    LogLevel,
    OutputFormat,
    SharedOptions,
    add_shared_options,
    duration,
    find_places,
    prepare_command,
    read_shared_options,
    shell_command,
    warmer_command,
)
from model_cache.cli.parser import OptionParser
from model_cache.errors import UsageError


def parser() -> OptionParser:
    parser = OptionParser(prog="prog")
    add_shared_options(parser)
    return parser


def read(*argv: str, **environ: str) -> SharedOptions:
    return read_shared_options(parser().parse_args(argv), environ)


ALL_VARIABLES: Final = {
    "QDA_CATALOG": "e.yaml",
    "QDA_CACHE": "/e",
    "QDA_MODELS": "a, b,,",
    "QDA_FORMAT": "json",
    "QDA_LOG_LEVEL": "error",
}


def test_without_flags_and_variables_the_defaults_apply() -> None:
    assert read() == SharedOptions(None, "host", (), OutputFormat.TABLE, LogLevel.INFO)


def test_variables_override_defaults() -> None:
    expected = SharedOptions(Path("e.yaml"), "/e", ("a", "b"), OutputFormat.JSON, LogLevel.ERROR)
    assert read(**ALL_VARIABLES) == expected


def test_flags_override_variables() -> None:
    flags = [
        "--catalog",
        "f.yaml",
        "--cache=/f",
        "--model",
        "c",
        "--model",
        "d",
        "--format",
        "table",
        "--quiet",
    ]
    expected = SharedOptions(Path("f.yaml"), "/f", ("c", "d"), OutputFormat.TABLE, LogLevel.WARNING)
    assert read(*flags, **ALL_VARIABLES) == expected


def test_an_empty_variable_counts_as_unset() -> None:
    assert read(**dict.fromkeys(ALL_VARIABLES, "")) == read()


def test_verbose_logs_more() -> None:
    assert read("--verbose", QDA_LOG_LEVEL="error").log_level is LogLevel.DEBUG


@pytest.mark.parametrize(
    ("argv", "environ", "message", "remedy"),
    [
        (["--fromat", "json"], {}, 'unknown option "--fromat"; did you mean --format', "--help"),
        (["--chache=/x"], {}, 'unknown option "--chache"; did you mean --cache', "--help"),
        (["--cach", "/x"], {}, "did you mean --cache", "--help"),
        (["--zzz"], {}, 'unknown option "--zzz"', "--help"),
        (["extra"], {}, 'unexpected argument "extra"', "--help"),
        (["--format"], {}, "argument --format: expected one argument", "--help"),
        (["--format", "jsn"], {}, '--format: found "jsn"', 'did you mean "json"'),
        (["--cache", ""], {}, '--cache: found ""', "host for the global caches"),
        (["--cache", "a\x00b"], {}, "--cache: found", "a folder"),
        (["--quiet", "--verbose"], {}, "not allowed with", "--help"),
        ([], {"QDA_FORMAT": "yaml"}, 'QDA_FORMAT: found "yaml"', "table, json"),
        ([], {"QDA_LOG_LEVEL": "loud"}, 'QDA_LOG_LEVEL: found "loud"', "debug, info, warning, error"),
    ],
)
def test_a_wrong_command_line_is_one_usage_error(
    argv: list[str], environ: dict[str, str], message: str, remedy: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read(*argv, **environ)
    assert message in caught.value.message
    assert remedy in caught.value.remedy
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5", 5.0), ("5s", 5.0), ("30m", 1800.0), ("1.5h", 5400.0), ("250ms", 0.25), ("0", 0.0), (" 7s ", 7.0)],
)
def test_durations_are_read_as_seconds(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-5", "5 s", "5d", "nan", "inf", "1e3", "٥s", "5s5", "9" * 40])
def test_a_text_that_is_not_a_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a duration as 5, 5s"):
        duration(text)


def test_the_warmers_command_repeats_the_given_options() -> None:
    options = read("--catalog", "my models.yaml", "--cache", "/c", "--model", "a")
    assert warmer_command(options, {}) == "cache-warmer warm --catalog 'my models.yaml' --cache /c --model a"
    assert warmer_command(read(), {}) == "cache-warmer warm"


@pytest.mark.skipif(os.name != "posix", reason="env is a program of POSIX systems")
def test_the_warmers_command_unsets_variables_that_forbid_requests() -> None:
    environ = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "yes"}
    expected = "env -u HF_HUB_OFFLINE -u TRANSFORMERS_OFFLINE cache-warmer warm --hub http://mirror"
    assert warmer_command(read(), environ, "--hub", "http://mirror") == expected
    assert warmer_command(read(), {"HF_HUB_OFFLINE": "0"}) == "cache-warmer warm"


def test_variables_replace_the_warmers_command() -> None:
    environ = {"QDA_WARM_COMMAND": "helm upgrade it", "HF_HUB_OFFLINE": "1"}
    assert warmer_command(read("--cache", "/c"), environ) == "helm upgrade it"
    assert warmer_command(read(), {**environ, "QDA_WARM_COMMAND": ""}).endswith("cache-warmer warm")
    assert warmer_command(read(), environ, verb="repair").endswith("cache-warmer repair")
    assert warmer_command(read(), {"QDA_REPAIR_COMMAND": "mend it"}, verb="repair") == "mend it"


def test_the_home_of_the_environment_is_used() -> None:
    places = find_places("host", {"HOME": "/h", "USERPROFILE": "/h"})
    assert places.torch.path == Path("/h/.cache/torch")


def test_the_command_that_makes_a_form_is_for_this_catalog_and_cache() -> None:
    options = SharedOptions(Path("/my cats/c.yaml"), "/srv/cache", (), OutputFormat.TABLE, LogLevel.INFO)
    make, _, publish = prepare_command(options, {}, "mood", "int8").partition(" && ")
    shared = "--catalog '/my cats/c.yaml' --cache /srv/cache"

    assert make == f"qda-worker prepare --model mood --precision int8 --out mood-int8 {shared}"
    assert publish == f"cache-warmer publish mood-int8 {shared}"


def test_where_it_cannot_run_another_command_makes_a_form() -> None:
    options = SharedOptions(None, "host", (), OutputFormat.TABLE, LogLevel.INFO)
    environ = {"QDA_PREPARE_COMMAND": "helm upgrade x"}
    assert prepare_command(options, environ, "mood", "bf16") == "helm upgrade x"


def test_commands_in_remedies_have_the_quotes_of_the_system() -> None:
    arguments = ["cache-warmer", "warm", "--cache", r"D:\my models"]
    assert shell_command(arguments, "linux") == r"cache-warmer warm --cache 'D:\my models'"
    assert shell_command(arguments, "win32") == r'cache-warmer warm --cache "D:\my models"'
