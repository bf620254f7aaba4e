"""The options and commands of `qda-client`.

Imports no gRPC: `--help` and wrong options answer at once. Options that all commands share can also be set by an
environment variable; they are read into a `Connection`.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from model_cache.cli.options import Option, duration, one_of
from model_cache.cli.parser import OptionParser
from model_cache.errors import UsageError
from qda_worker.client.enums import EmbeddingKind, LongTexts, Numbers, Offsets

PROGRAM: Final = "qda-client"

# Cosine; the threshold of `paraphrases` if neither --threshold nor --best is given.
DEFAULT_THRESHOLD: Final = 0.75

_EPILOG: Final = """exit codes: 0 all texts have results; 1 some texts have an error, the others have results; 2 wrong
options, unreadable input or an invalid request; 50 the worker failed; 60 no worker answers at the target; 61 the worker
is not ready; 62 it is overloaded; 63 the deadline was exceeded; 64 the worker does not serve that; 65 it refuses this
caller; 67 TLS failed. `cache` ends with the codes of cache-check (10 incomplete, 11 corrupt ...)."""


class Format(StrEnum):
    """The format of results on stdout."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


class Input(StrEnum):
    """The format of the input file."""

    LINES = "lines"
    JSONL = "jsonl"


@dataclass(frozen=True, slots=True)
class Connection:
    """The options that all commands share.

    Attributes:
        timeout: seconds for each request.
    """

    target: str
    timeout: float
    caller: str
    format: Format
    tls: bool
    tls_ca: Path | None
    tls_certificate: Path | None
    tls_key: Path | None
    tls_server_name: str


def _text(text: str) -> str:
    return text


def _path(text: str) -> Path | None:
    if "\x00" in text:
        raise ValueError("a file")
    return Path(text)


TARGET: Final = Option(
    "--target", "QDA_TARGET", _text, "127.0.0.1:50051", "HOST:PORT", "address of the worker"
)
TIMEOUT: Final = Option(
    "--timeout",
    "QDA_TIMEOUT",
    duration,
    120.0,
    "TIME",
    "deadline of each request, including the wait for a worker that is not ready, as 500ms, 30s or 5m; "
    "a long input is sent as several requests",
    "120s",
)
CALLER: Final = Option(
    "--caller",
    "QDA_CALLER",
    _text,
    "",
    "NAME",
    "name of this caller in the worker's log and fair scheduling",
    "its address",
)
FORMAT: Final = Option(
    "--format", "QDA_FORMAT", one_of(Format), Format.TABLE, "table|json|jsonl", "format of the result"
)
TLS_CA: Final = Option(
    "--tls-ca",
    "QDA_TLS_CA",
    _path,
    None,
    "FILE",
    "authorities that sign the worker's certificate, in PEM format; enables TLS",
    "plain text",
)
TLS_CERTIFICATE: Final = Option(
    "--tls-cert",
    "QDA_TLS_CERT",
    _path,
    None,
    "FILE",
    "this client's certificate for mutual TLS, in PEM format; enables TLS",
    "none",
)
TLS_KEY: Final = Option(
    "--tls-key", "QDA_TLS_KEY", _path, None, "FILE", "private key of --tls-cert, in PEM format", "none"
)
TLS_NAME: Final = Option(
    "--tls-server-name",
    "QDA_TLS_SERVER_NAME",
    _text,
    "",
    "NAME",
    "name in the worker's certificate",
    "the target's",
)
CONNECTION: Final = (TARGET, TIMEOUT, CALLER, FORMAT, TLS_CA, TLS_CERTIFICATE, TLS_KEY, TLS_NAME)


def read_connection(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Connection:
    """Return the options that all commands share, from flags and environment.

    Raises:
        UsageError: when a value is wrong.
    """
    files = [option.value(arguments, environ) for option in (TLS_CA, TLS_CERTIFICATE, TLS_KEY)]
    timeout = TIMEOUT.value(arguments, environ)
    if timeout <= 0:
        raise UsageError(f"{TIMEOUT.flag} is {timeout:g} s", "give a time above 0")
    return Connection(
        target=TARGET.value(arguments, environ),
        timeout=timeout,
        caller=CALLER.value(arguments, environ),
        format=FORMAT.value(arguments, environ),
        tls=arguments.tls or any(files),
        tls_ca=files[0],
        tls_certificate=files[1],
        tls_key=files[2],
        tls_server_name=TLS_NAME.value(arguments, environ),
    )


def parser() -> OptionParser:
    """Return the parser of all commands."""
    top = OptionParser(
        prog=PROGRAM,
        description="Send texts to a qda-worker, or query its models, cache and health.",
        epilog=_EPILOG,
    )
    top.add_version()
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=OptionParser)

    def command(name: str, help: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=help, description=help, epilog=_EPILOG)
        _add_connection(added)
        return added

    _add_sentiment(command("sentiment", "classify texts as positive, negative or neutral"))
    _add_entities(command("entities", "find names of people, places and organisations"))
    _add_embed(command("embed", "compute vectors"))
    _add_paraphrases(command("paraphrases", "find texts of similar meaning, within one input or between two"))
    _add_analyze(command("analyze", "run several tasks on each text, as a stream of any length"))
    command("models", "list the models that the worker serves, and its limits")
    command("cache", "show the state of the worker's model cache")
    _add_health(command("health", "show whether the worker serves"))
    return top


def _add_connection(parser: argparse.ArgumentParser) -> None:
    for option in CONNECTION:
        option.add_to(parser)
    parser.add_argument(
        "--tls",
        action="store_true",
        help="use TLS and trust the authorities that gRPC includes (default: plain text)",
    )
    parser.add_argument(
        "--quiet",
        action="store_true",
        help="write neither progress nor log messages to stderr (default: write both)",
    )


def _add_sentiment(parser: argparse.ArgumentParser) -> None:
    _add_input(parser)
    parser.add_argument(
        "--sentences", action="store_true", help="classify each sentence, too (default: only whole texts)"
    )
    _add_encoding(parser)


def _add_entities(parser: argparse.ArgumentParser) -> None:
    _add_input(parser)
    _add_encoding(parser)
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="LABEL",
        help="show only entities with this label; may be repeated (default: all labels)",
    )
    parser.add_argument(
        "--common-labels",
        action="store_true",
        help="use PERSON, LOCATION, ORGANIZATION … for every model (default: the model's own labels)",
    )


def _add_embed(parser: argparse.ArgumentParser) -> None:
    _add_input(parser)
    parser.add_argument(
        "--normalize",
        action=argparse.BooleanOptionalAction,
        help="whether to scale dense vectors to length 1 (default: that of the model's configuration)",
    )
    parser.add_argument(
        "--dimensions",
        type=int,
        default=0,
        metavar="N",
        help="number of leading dimensions to keep, if the model allows it (default: 0, all)",
    )
    parser.add_argument(
        "--kind",
        action="append",
        choices=list(EmbeddingKind),
        metavar="|".join(EmbeddingKind),
        help="kind of vectors; may be repeated; `qda-client models` lists those of each model (default: dense)",
    )
    parser.add_argument(
        "--numbers",
        choices=list(Numbers),
        default=Numbers.FLOAT32,
        metavar="|".join(Numbers),
        help="number format in transit; float16 halves the size and keeps three significant digits "
        "(default: float32)",
    )
    parser.add_argument(
        "--stream",
        action="store_true",
        help="receive vectors in parts, for inputs of any length; jsonl lines are written as they arrive "
        "(default: only for multi-vector)",
    )


def _add_paraphrases(parser: argparse.ArgumentParser) -> None:
    _add_input(parser)
    parser.add_argument(
        "others",
        nargs="?",
        metavar="OTHERS",
        help="second file; compare its texts with those of FILE (default: compare the texts of FILE with each other)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="SCORE",
        help="lowest score of a pair, a cosine from -1 to 1 "
        f"(default: {DEFAULT_THRESHOLD}; none if --best is given)",
    )
    parser.add_argument(
        "--best",
        type=int,
        metavar="N",
        help="number of partners for each text, those with the highest scores (default: all)",
    )


def _add_analyze(parser: argparse.ArgumentParser) -> None:
    _add_input(parser, model=False)
    _add_encoding(parser)
    parser.add_argument(
        "--task",
        action="append",
        metavar="TASK[=KEY]",
        help="sentiment, entities or embedding, optionally with a model's key; may be repeated "
        "(default: sentiment and entities)",
    )


def _add_health(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "service",
        nargs="?",
        default="",
        metavar="SERVICE",
        help="full name of a service, as qda.v1.EntityService (default: the whole worker)",
    )
    parser.add_argument(
        "--wait",
        metavar="TIME",
        help="wait at most this long until it serves, as 30s or 5m (default: do not wait)",
    )


def _add_input(parser: argparse.ArgumentParser, *, model: bool = True) -> None:
    parser.add_argument(
        "file",
        nargs="?",
        default="-",
        metavar="FILE",
        help="file with the texts, in UTF-8 (default: -, stdin)",
    )
    parser.add_argument(
        "--input",
        choices=list(Input),
        default=Input.LINES,
        metavar="lines|jsonl",
        help="format of FILE; lines: one text on each line, blank lines are skipped; jsonl: on each line a JSON string "
        'or {"id": …, "text": …, "language": …} (default: lines)',
    )
    parser.add_argument(
        "--whole",
        action="store_true",
        help="read the whole file as one text (default: one text on each line)",
    )
    parser.add_argument(
        "--long-texts",
        choices=list(LongTexts),
        default=LongTexts.CUT,
        metavar="error|cut|window",
        help="for texts that are longer than the model's limit: return an error, use only the beginning, or use all "
        "in overlapping windows (default: cut)",
    )
    if model:
        parser.add_argument(
            "--model",
            default="",
            metavar="KEY",
            help="key of the model (default: the catalog's default for this task)",
        )


def _add_encoding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--encoding",
        choices=list(Offsets),
        default=Offsets.CODE_POINTS,
        metavar="|".join(Offsets),
        help="unit of positions in a text (default: code-points, as in Python and R)",
    )
