"""Options with a value, each with an environment variable of the same meaning, and those that all programs share.

A flag takes precedence over its variable, the variable over the default. An empty variable counts as unset. Both are
parsed by the same function, so a wrong value is one USAGE error that names the flag or the variable.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

from model_cache.cli.parser import OptionParser, closest_match
from model_cache.errors import UsageError
from model_cache.places import HOST, Places, resolve_places
from model_cache.urls import shown_value

# Variables with the command that remedies name, where another program than this one can write to the cache.
COMMAND_VARIABLES: Final = {
    "warm": "QDA_WARM_COMMAND",
    "repair": "QDA_REPAIR_COMMAND",
    "prepare": "QDA_PREPARE_COMMAND",
}
# The same for a command that fills the cache from an archive; remedies name none without it.
IMPORT_COMMAND: Final = "QDA_IMPORT_COMMAND"
# Folder of the run record (`model_cache.run_record`); without it no record is written.
RUN_DIRECTORY: Final = "QDA_RUN_DIR"
HOME_VARIABLE: Final = "USERPROFILE" if os.name == "nt" else "HOME"

_UNIT_SECONDS: Final = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0}
_UNIT_BYTES: Final = {
    "": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3,
}  # fmt: skip
# Variables that forbid the hub client and transformers to make requests.
OFFLINE_VARIABLES: Final = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
# Values that switch a variable of the hub client on, as in huggingface_hub.constants.
TRUE_WORDS: Final = frozenset({"1", "ON", "YES", "TRUE"})

_Value = TypeVar("_Value")
_Choice = TypeVar("_Choice", bound=StrEnum)


class OutputFormat(StrEnum):
    """How results are written to stdout."""

    TABLE = "table"
    JSON = "json"


class LogLevel(StrEnum):
    """Lowest level of the log records that are written to stderr."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Option(NamedTuple, Generic[_Value]):
    """One option with a value.

    Attributes:
        flag: as `--cache`.
        variable: the environment variable of the same meaning.
        parse: converts the text to the value; raises `ValueError` with what is allowed.
        default: the value if neither flag nor variable is given.
        metavar: name of the value in the help.
        help: what the option sets, and its unit; the default and the variable are appended.
        shown_default: the default as the help shows it; empty: its text.
    """

    flag: str
    variable: str
    parse: Callable[[str], _Value]
    default: _Value
    metavar: str
    help: str
    shown_default: str = ""

    def add_to(self, parser: argparse.ArgumentParser, action: type[argparse.Action] | str = "store") -> None:
        """Add the option to a parser. Its value stays text until `value` parses it."""
        default = self.shown_default or str(self.default)
        parser.add_argument(
            self.flag,
            action=action,
            metavar=self.metavar,
            help=f"{self.help} (default: {default}; variable: {self.variable})",
        )

    def value(self, arguments: argparse.Namespace, environ: Mapping[str, str]) -> _Value:
        """Return the value from flag, variable or default.

        Raises:
            UsageError: the text of the flag or of the variable is not a value of this option.
        """
        given = getattr(arguments, self.flag.lstrip("-").replace("-", "_"))
        if given is not None:
            return self._parse(given, self.flag)
        text = environ.get(self.variable, "")
        return self._parse(text, self.variable) if text else self.default

    def _parse(self, text: str, where: str) -> _Value:
        try:
            return self.parse(text)
        except ValueError as error:
            raise UsageError(f'{where}: found "{shown_value(text)[:200]}"', f"give {error}") from error


def one_of(choices: type[_Choice]) -> Callable[[str], _Choice]:
    """Return a function that parses one value of an enumeration."""

    def parse(text: str) -> _Choice:
        if text in list(choices):
            return choices(text)
        guess = closest_match(text, list(choices))
        hint = f'; did you mean "{guess}"?' if guess else ""
        raise ValueError(f"one of {', '.join(choices)}{hint}")

    return parse


def duration(text: str) -> float:
    """Return the seconds of `5`, `5s`, `500ms`, `30m` or `1.5h`.

    Raises:
        ValueError: the text is not a duration.
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|)", text.strip(), re.ASCII)
    if not match:
        raise ValueError("a duration as 5, 5s, 500ms, 30m or 1h")
    return float(match[1]) * _UNIT_SECONDS[match[2]]


def positive_duration(text: str) -> float:
    """Return the seconds of a duration above 0.

    Raises:
        ValueError: the text is not a duration, or is 0.
    """
    seconds = duration(text)
    if seconds <= 0:
        raise ValueError("a duration above 0, as 5, 5s, 500ms, 30m or 1h")
    return seconds


def byte_count(text: str) -> int | None:
    """Return the bytes of a size as Kubernetes writes it, such as `500M`, `512Mi` or `2Gi`; None for 0.

    Raises:
        ValueError: the text is not a size.
    """
    match = re.fullmatch(r"([0-9]{1,9})([kMG]|[KMG]i|)", text.strip(), re.ASCII)
    if match is None:
        raise ValueError("a size in bytes as 500M, 512Mi or 2Gi; 0 for none")
    return int(match[1]) * _UNIT_BYTES[match[2]] or None


def _folder(text: str) -> str:
    if not text or "\x00" in text:
        raise ValueError("a folder, or host for the global caches of this user")
    return text


def _file(text: str) -> Path:
    if not text or "\x00" in text:
        raise ValueError("a file")
    return Path(text)


CATALOG: Final[Option[Path | None]] = Option(
    "--catalog",
    "QDA_CATALOG",
    _file,
    None,
    "FILE",
    "catalog of the models to use",
    "the catalog inside the package",
)
CACHE: Final = Option(
    "--cache",
    "QDA_CACHE",
    _folder,
    HOST,
    "DIR",
    "folder that holds the models; host: the global caches of this user",
)
FORMAT: Final = Option(
    "--format",
    "QDA_FORMAT",
    one_of(OutputFormat),
    OutputFormat.TABLE,
    "table|json",
    "format of the result on stdout",
)
# Not added to any parser: --quiet and --verbose stand for the flag.
LOG_LEVEL: Final = Option(
    "--log-level", "QDA_LOG_LEVEL", one_of(LogLevel), LogLevel.INFO, "LEVEL", "lowest level of the log"
)


class SharedOptions(NamedTuple):
    """The values of the shared options. `models` is empty for all models of the catalog."""

    catalog: Path | None
    cache: str
    models: tuple[str, ...]
    format: OutputFormat
    log_level: LogLevel


def add_shared_options(
    parser: OptionParser,
    *,
    with_models: bool = True,
    format_action: type[argparse.Action] | str = "store",
) -> None:
    """Add --catalog, --cache, --model, --format, --quiet and --verbose to a parser.

    Args:
        parser: the parser.
        with_models: whether to add --model.
        format_action: the action of --format, for a command that takes other formats too.
    """
    CATALOG.add_to(parser)
    CACHE.add_to(parser)
    if with_models:
        parser.add_argument(
            "--model",
            action="append",
            metavar="KEY",
            help="use only this model of the catalog; may be repeated (default: all models; variable: QDA_MODELS, "
            "keys separated by commas)",
        )
    FORMAT.add_to(parser, format_action)
    level = parser.add_mutually_exclusive_group()
    level.add_argument("--quiet", action="store_true", help="log warnings and errors only")
    level.add_argument(
        "--verbose",
        action="store_true",
        help="log debug messages too (default without --quiet and --verbose: info; variable: QDA_LOG_LEVEL)",
    )


def read_shared_options(arguments: argparse.Namespace, environ: Mapping[str, str]) -> SharedOptions:
    """Return the shared options from parsed arguments and the environment.

    Raises:
        UsageError: a value is wrong.
    """
    return SharedOptions(
        catalog=CATALOG.value(arguments, environ),
        cache=CACHE.value(arguments, environ),
        models=_models(arguments, environ),
        format=FORMAT.value(arguments, environ),
        log_level=_log_level(arguments, environ),
    )


def _models(arguments: argparse.Namespace, environ: Mapping[str, str]) -> tuple[str, ...]:
    given = getattr(arguments, "model", None)
    if given is not None:
        return tuple(given)
    return tuple(list_variable(environ, "QDA_MODELS"))


def list_variable(environ: Mapping[str, str], name: str) -> list[str]:
    """Return the values of a variable that holds several, separated by commas."""
    return [part for each in environ.get(name, "").split(",") if (part := each.strip())]


def _log_level(arguments: argparse.Namespace, environ: Mapping[str, str]) -> LogLevel:
    if arguments.quiet:
        return LogLevel.WARNING
    if arguments.verbose:
        return LogLevel.DEBUG
    return LOG_LEVEL.value(argparse.Namespace(log_level=None), environ)


def home_folder(environ: Mapping[str, str]) -> Path | None:
    """Return the user's home by the environment, else by the system; None if there is none."""
    home = environ.get(HOME_VARIABLE) or os.path.expanduser("~")
    return Path(home) if home != "~" else None


def find_places(cache: str, environ: Mapping[str, str]) -> Places:
    """Return the places of the cache that `--cache` names.

    Raises:
        UsageError: the places are below the user's home, and this user has none.
    """
    home = home_folder(environ)
    if home is None and (cache == HOST or cache.startswith("~")):
        raise UsageError("this user has no home folder", f"set {HOME_VARIABLE}, or give --cache DIR")
    return resolve_places(cache, environ, home or Path("~"))


def offline_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the set variables that forbid the hub client to make requests."""
    return tuple(name for name in OFFLINE_VARIABLES if environ.get(name, "").upper() in TRUE_WORDS)


def symlinks_disabled(environ: Mapping[str, str]) -> bool:
    """Return whether the hub client's variable forbids symbolic links in its cache."""
    return environ.get("HF_HUB_DISABLE_SYMLINKS", "").upper() in TRUE_WORDS


def warmer_command(options: SharedOptions, environ: Mapping[str, str], *more: str, verb: str = "warm") -> str:
    """Return the shell command that fills this cache with these models, for remedies.

    Variables that forbid requests are unset in it, because the warmer would refuse to run. Where this program cannot
    write to its cache, as in a worker's container, `QDA_WARM_COMMAND` and `QDA_REPAIR_COMMAND` hold the command that
    can.

    Args:
        options: the options of this program.
        environ: the environment of this program.
        more: further arguments of the command.
        verb: the command of `cache-warmer`, as `repair`.
    """
    if command_elsewhere := environ.get(COMMAND_VARIABLES.get(verb, "")):
        return command_elsewhere
    unset = (
        [part for name in offline_variables(environ) for part in ("-u", name)] if os.name == "posix" else []
    )
    command = [*(["env", *unset] if unset else []), "cache-warmer", verb]
    if options.catalog is not None:
        command += ["--catalog", str(options.catalog)]
    if options.cache != HOST:
        command += ["--cache", options.cache]
    for key in options.models:
        command += ["--model", key]
    return shell_command([*command, *more])


def prepare_command(options: SharedOptions, environ: Mapping[str, str], key: str, precision: str) -> str:
    """Return the shell command that makes a prepared form of a model and publishes it, for remedies.

    Where neither this program nor its user can do that, as in a worker's container, `QDA_PREPARE_COMMAND` holds the
    command that can.
    """
    if command_elsewhere := environ.get(COMMAND_VARIABLES["prepare"]):
        return command_elsewhere
    catalog = ["--catalog", str(options.catalog)] if options.catalog is not None else []
    shared = [*catalog, *(["--cache", options.cache] if options.cache != HOST else [])]
    folder = f"{key}-{precision}"
    make = ["qda-worker", "prepare", "--model", key, "--precision", precision, "--out", folder, *shared]
    return f"{shell_command(make)} && {shell_command(['cache-warmer', 'publish', folder, *shared])}"


def shell_command(arguments: Sequence[str], platform: str = sys.platform) -> str:
    """Return a command line for a POSIX shell, or on Windows for both of its shells."""
    if platform == "win32":
        from model_cache.windows_paths import quoted

        return " ".join(map(quoted, arguments))
    import shlex  # here, because the import would delay each start

    return shlex.join(arguments)
