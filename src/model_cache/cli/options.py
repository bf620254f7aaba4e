"""Options that the programs share, each with an environment variable of the same meaning.

A flag beats its variable, a variable beats the default, an empty variable counts as unset. Both are read
the same way, so that a bad value in either is one clear USAGE error that names where it stood.
"""

import argparse
import os
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final, Generic, NamedTuple, TypeVar

from model_cache.cli.parser import OptionParser, nearest
from model_cache.errors import UsageError
from model_cache.places import HOST, Places, resolve_places

_Value = TypeVar("_Value")
_Word = TypeVar("_Word", bound=StrEnum)


class OutputFormat(StrEnum):
    """How results are written to stdout."""

    TABLE = "table"
    JSON = "json"


class LogLevel(StrEnum):
    """From which level on log records go to stderr."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Option(NamedTuple, Generic[_Value]):
    """One option with a value.

    Attributes:
        flag: as `--cache`.
        variable: the environment variable of the same meaning.
        parse: text to value; raises `ValueError` with what is allowed.
        default: the value if neither is given.
        metavar: what the help calls the value.
        help: what it does; default and variable are added.
        shown_default: the default as the help shows it; empty: as it is.
    """

    flag: str
    variable: str
    parse: Callable[[str], _Value]
    default: _Value
    metavar: str
    help: str
    shown_default: str = ""

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """Let a parser accept it. Its value stays text until `value` reads it."""
        default = self.shown_default or str(self.default)
        parser.add_argument(
            self.flag,
            metavar=self.metavar,
            help=f"{self.help} (default: {default}; variable: {self.variable})",
        )

    def value(self, arguments: argparse.Namespace, environ: Mapping[str, str]) -> _Value:
        """Return the value from flag, variable or default. Raises `UsageError`."""
        given = getattr(arguments, self.flag.lstrip("-").replace("-", "_"))
        if given is not None:
            return self._read(given, self.flag)
        text = environ.get(self.variable, "")
        return self._read(text, self.variable) if text else self.default

    def _read(self, text: str, where: str) -> _Value:
        try:
            return self.parse(text)
        except ValueError as error:
            raise UsageError(f'{where}: found "{text[:200]}"', f"give {error}") from error


def words(kind: type[_Word]) -> Callable[[str], _Word]:
    """Return a parser of an enumeration's words."""

    def parse(text: str) -> _Word:
        if text in list(kind):
            return kind(text)
        guess = nearest(text, list(kind))
        hint = f'; did you mean "{guess}"?' if guess else ""
        raise ValueError(f"one of {', '.join(kind)}{hint}")

    return parse


_UNITS: Final = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0}


def duration(text: str) -> float:
    """Return seconds from `5`, `5s`, `500ms`, `30m` or `1.5h`. Raises `ValueError`."""
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|)", text.strip(), re.ASCII)
    if not match:
        raise ValueError("a duration as 5, 5s, 500ms, 30m or 1h")
    return float(match[1]) * _UNITS[match[2]]


def above_zero(text: str) -> float:
    """Return the seconds of a duration that must not be 0. Raises `ValueError`."""
    seconds = duration(text)
    if seconds <= 0:
        raise ValueError("a duration above 0, as 5, 5s, 500ms, 30m or 1h")
    return seconds


def _folder(text: str) -> str:
    if not text or "\x00" in text:
        raise ValueError("a folder, or host for the global caches of this user")
    return text


def _file(text: str) -> Path:
    if not text or "\x00" in text:
        raise ValueError("a file")
    return Path(text)


def _keys(text: str) -> tuple[str, ...]:
    return tuple(key.strip() for key in text.split(",") if key.strip())


CATALOG: Final[Option[Path | None]] = Option(
    "--catalog", "QDA_CATALOG", _file, None, "FILE", "the models wanted", "the catalog inside the package"
)
CACHE: Final = Option(
    "--cache",
    "QDA_CACHE",
    _folder,
    HOST,
    "DIR",
    "the folder that holds the models; host: the global caches of this user",
)
FORMAT: Final = Option(
    "--format", "QDA_FORMAT", words(OutputFormat), OutputFormat.TABLE, "table|json", "of the result"
)
LOG_LEVEL: Final = Option(
    "--log-level", "QDA_LOG_LEVEL", words(LogLevel), LogLevel.INFO, "LEVEL", "of the log"
)


class Options(NamedTuple):
    """The shared options, read. `models` is empty for all models of the catalog."""

    catalog: Path | None
    cache: str
    models: tuple[str, ...]
    format: OutputFormat
    log_level: LogLevel


def add_shared_options(parser: OptionParser, *, with_models: bool = True) -> None:
    """Let a parser accept --catalog, --cache, --model, --format, --quiet and --verbose."""
    CATALOG.add_to(parser)
    CACHE.add_to(parser)
    if with_models:
        parser.add_argument(
            "--model",
            action="append",
            metavar="KEY",
            help="only this model; may be repeated (default: all models; variable: QDA_MODELS, with commas)",
        )
    FORMAT.add_to(parser)
    level = parser.add_mutually_exclusive_group()
    level.add_argument("--quiet", action="store_true", help="log warnings and errors only")
    level.add_argument(
        "--verbose", action="store_true", help="log more (variable for both: QDA_LOG_LEVEL, default: info)"
    )


def read_shared_options(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Options:
    """Return the shared options from parsed arguments and the environment. Raises `UsageError`."""
    return Options(
        catalog=CATALOG.value(arguments, environ),
        cache=CACHE.value(arguments, environ),
        models=_models(getattr(arguments, "model", None), environ),
        format=FORMAT.value(arguments, environ),
        log_level=_log_level(arguments, environ),
    )


def _models(given: Sequence[str] | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(given) if given is not None else _keys(environ.get("QDA_MODELS", ""))


def _log_level(arguments: argparse.Namespace, environ: Mapping[str, str]) -> LogLevel:
    if arguments.quiet:
        return LogLevel.WARNING
    if arguments.verbose:
        return LogLevel.DEBUG
    return LOG_LEVEL.value(argparse.Namespace(log_level=None), environ)


def find_places(cache: str, environ: Mapping[str, str]) -> Places:
    """Return where the cache of `--cache` is for this user. Raises `UsageError` if that needs a home."""
    variable = "USERPROFILE" if os.name == "nt" else "HOME"
    home = environ.get(variable) or os.path.expanduser("~")
    if home == "~" and (cache == HOST or cache.startswith("~")):
        raise UsageError("this user has no home folder", f"set {variable}, or give --cache DIR")
    return resolve_places(cache, environ, Path(home))


_TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})  # as huggingface_hub.constants reads them
_OFFLINE: Final = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def offline_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the variables that tell the hub client to make no request."""
    return tuple(name for name in _OFFLINE if environ.get(name, "").upper() in _TRUE)


# Variables with the command that remedies name where it is not this program's own.
COMMAND_ELSEWHERE: Final = {"warm": "QDA_WARM_COMMAND", "repair": "QDA_REPAIR_COMMAND"}


def warm_command(options: Options, environ: Mapping[str, str], *more: str, verb: str = "warm") -> str:
    """Return the command that fills this cache with these models, for remedies.

    Where the environment says offline, the command leaves that out, because the warmer would refuse. `more`
    are further arguments; `verb` is another command with the same options. Where this program cannot write to
    its cache, as in a worker's container, `QDA_WARM_COMMAND` and `QDA_REPAIR_COMMAND` say who can.
    """
    if elsewhere := environ.get(COMMAND_ELSEWHERE.get(verb, "")):
        return elsewhere
    import shlex  # here: an unneeded import delays each start

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
    return shlex.join([*command, *more])
