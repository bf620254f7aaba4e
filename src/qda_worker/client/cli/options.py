"""The options of `qda-client`, and what they say, as plain values. Imports no gRPC: `--help` and mistakes answer at
once.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from model_cache.cli.options import Option, duration, words
from model_cache.cli.parser import OptionParser
from model_cache.errors import UsageError
from qda_worker.client.enums import EmbeddingKind, LongTexts, Numbers, Offsets

PROGRAM: Final = "qda-client"
DEFAULT_THRESHOLD: Final = 0.75

_EPILOG: Final = """exit codes: 0 all answered; 1 some texts have an error, the others are answered; 2 wrong options,
unreadable input or a request that the worker refuses; 50 the worker failed; 60 nobody answers at the target; 61 the
worker is not ready; 62 it is overloaded; 63 the time was up; 64 it does not serve that; 65 it does not let this
caller in; 67 TLS failed. `cache` ends with the codes of cache-check (10 incomplete, 11 corrupt ...)."""


class Format(StrEnum):
    """How results are written to stdout."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


class Input(StrEnum):
    """What the input is."""

    LINES = "lines"
    JSONL = "jsonl"


def _text(text: str) -> str:
    return text


def _path(text: str) -> Path | None:
    if "\x00" in text:
        raise ValueError("a file")
    return Path(text)


TARGET: Final = Option("--target", "QDA_TARGET", _text, "127.0.0.1:50051", "HOST:PORT", "the worker")
TIMEOUT: Final = Option(
    "--timeout",
    "QDA_TIMEOUT",
    duration,
    120.0,
    "TIME",
    "for each request, a long input is several; and for the worker to be ready",
    "120s",
)
CALLER: Final = Option(
    "--caller", "QDA_CALLER", _text, "", "NAME", "who calls, for the worker's log", "its address"
)
FORMAT: Final = Option(
    "--format", "QDA_FORMAT", words(Format), Format.TABLE, "table|json|jsonl", "of the result"
)
TLS_CA: Final = Option(
    "--tls-ca",
    "QDA_TLS_CA",
    _path,
    None,
    "FILE",
    "who signs the worker's certificate; turns TLS on",
    "plain text",
)
TLS_CERTIFICATE: Final = Option(
    "--tls-cert", "QDA_TLS_CERT", _path, None, "FILE", "this client's certificate", "none"
)
TLS_KEY: Final = Option("--tls-key", "QDA_TLS_KEY", _path, None, "FILE", "its key", "none")
TLS_NAME: Final = Option(
    "--tls-server-name",
    "QDA_TLS_SERVER_NAME",
    _text,
    "",
    "NAME",
    "the name in the worker's certificate",
    "the target's",
)
CONNECTION: Final = (TARGET, TIMEOUT, CALLER, FORMAT, TLS_CA, TLS_CERTIFICATE, TLS_KEY, TLS_NAME)


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the worker, how long to wait (seconds a request; None: each call's usual time), how to answer."""

    target: str
    timeout: float
    caller: str
    format: Format
    tls: bool
    tls_ca: Path | None
    tls_certificate: Path | None
    tls_key: Path | None
    tls_server_name: str


def read_connection(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Connection:
    """The options that all commands have, from flags and environment. Raises UsageError."""
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
    """The parser of all commands."""
    top = OptionParser(
        prog=PROGRAM, description="Ask a qda-worker about texts, and about itself.", epilog=_EPILOG
    )
    top.add_version()
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=OptionParser)

    def command(name: str, help: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=help, description=help, epilog=_EPILOG)
        _add_connection(made)
        return made

    sentiment = command("sentiment", "positive, negative or neutral, with probabilities")
    _add_input(sentiment)
    sentiment.add_argument("--sentences", action="store_true", help="each sentence, too")
    _add_encoding(sentiment)
    entities = command("entities", "names of people, places and organisations")
    _add_input(entities)
    _add_encoding(entities)
    entities.add_argument(
        "--label", action="append", default=[], metavar="LABEL", help="only these; may be repeated"
    )
    entities.add_argument(
        "--common-labels",
        action="store_true",
        help="PERSON, LOCATION, ORGANIZATION … instead of the model's labels",
    )
    embed = command("embed", "vectors")
    _add_input(embed)
    embed.add_argument(
        "--normalize", action=argparse.BooleanOptionalAction, help="bring vectors to length 1, or not"
    )
    embed.add_argument(
        "--dimensions", type=int, default=0, metavar="N", help="leading dimensions to keep (all)"
    )
    embed.add_argument(
        "--kind",
        action="append",
        choices=list(EmbeddingKind),
        metavar="|".join(EmbeddingKind),
        help="which vectors; may be repeated (default: dense; `qda-client models` tells what a model gives)",
    )
    embed.add_argument(
        "--numbers",
        choices=list(Numbers),
        default=Numbers.FLOAT32,
        metavar="|".join(Numbers),
        help="how numbers travel: float16 halves the bytes and keeps three significant digits (default: float32)",
    )
    embed.add_argument(
        "--stream",
        action="store_true",
        help="vectors in parts, an input of any length, each jsonl line as it arrives; always so for multi-vector",
    )
    paraphrases = command("paraphrases", "texts of like meaning, within one input or between two")
    _add_input(paraphrases)
    paraphrases.add_argument(
        "others", nargs="?", metavar="OTHERS", help="a second file: only pairs between both"
    )
    paraphrases.add_argument(
        "--threshold",
        type=float,
        metavar="SCORE",
        help=f"pairs with at least this cosine (default: {DEFAULT_THRESHOLD}, unless --best is given)",
    )
    paraphrases.add_argument("--best", type=int, metavar="N", help="for each text its N best partners")
    analyze = command("analyze", "several tasks on each text, as a stream of any length")
    _add_input(analyze, model=False)
    _add_encoding(analyze)
    analyze.add_argument(
        "--task",
        action="append",
        metavar="TASK[=KEY]",
        help="sentiment, entities or embedding, with a model's key; may be repeated (default: sentiment and entities)",
    )
    command("models", "the models that the worker serves, and its limits")
    command("cache", "the state of the worker's model cache")
    health = command("health", "whether the worker serves")
    health.add_argument(
        "service",
        nargs="?",
        default="",
        metavar="SERVICE",
        help="a service's full name (default: all of the worker)",
    )
    health.add_argument("--wait", metavar="TIME", help="wait so long for it to serve")
    return top


def _add_connection(parser: argparse.ArgumentParser) -> None:
    for option in CONNECTION:
        option.add_to(parser)
    parser.add_argument("--tls", action="store_true", help="TLS with the authorities that gRPC knows")
    parser.add_argument("--quiet", action="store_true", help="no progress and no notes on stderr")


def _add_input(parser: argparse.ArgumentParser, *, model: bool = True) -> None:
    parser.add_argument(
        "file", nargs="?", default="-", metavar="FILE", help="the texts, in UTF-8 (default: - for stdin)"
    )
    parser.add_argument(
        "--input",
        choices=list(Input),
        default=Input.LINES,
        metavar="lines|jsonl",
        help='a text a line, blank lines left out (default), or JSON a line: {"id": …, "text": …, "language": …}',
    )
    parser.add_argument("--whole", action="store_true", help="the whole file is one text")
    parser.add_argument(
        "--long-texts",
        choices=list(LongTexts),
        default=LongTexts.CUT,
        metavar="error|cut|window",
        help="what to do with texts that the model cannot read at once (default: cut)",
    )
    if model:
        parser.add_argument(
            "--model", default="", metavar="KEY", help="a model's key (default: the catalog's)"
        )


def _add_encoding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--encoding",
        choices=list(Offsets),
        default=Offsets.CODE_POINTS,
        metavar="|".join(Offsets),
        help="what positions count (default: code-points, as Python and R do)",
    )
