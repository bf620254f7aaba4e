"""The options and commands of `qda-client`.

Imports no gRPC: `--help` and wrong options answer at once. Those that all commands share are in `connection`.
"""

import argparse
from dataclasses import dataclass
from typing import Final

from model_cache.cli.parser import OptionParser
from model_cache.errors import UsageError
from qda_worker.client.cli.connection import CONNECTION
from qda_worker.client.cli.pseudonym_options import PSEUDONYMIZE, add_pseudonymize
from qda_worker.client.cli.result_options import add_local, add_output, add_page
from qda_worker.client.enums import EmbeddingKind, LongTexts, Numbers, Offsets, SyntaxLayer
from qda_worker.client.readers.encodings import parse_encoding
from qda_worker.client.readers.options import InputFormat, ReadingOptions, Segmentation

PROGRAM: Final = "qda-client"

_FILE_HELP: Final = (
    "{} with the texts: plain text, docx, odt, rtf, pdf, csv, tsv, xlsx, jsonl, srt, vtt, json of Whisper, WhisperX, "
    "whisper.cpp, aTrain and Amberscript, otr, HTML of noScribe; pdf and xlsx need qda-worker[files] (default: -, "
    "stdin)"
)

# Cosine; the threshold of `paraphrases` if neither --threshold nor --best is given.
DEFAULT_THRESHOLD: Final = 0.75

_EPILOG: Final = """exit codes: 0 all texts have results; 1 some texts have an error, the others have results; 2 wrong
options, unreadable input or an invalid request; 50 the worker failed; 60 no worker answers at the target; 61 the worker
is not ready; 62 it is overloaded; 63 the deadline was exceeded; 64 the worker does not serve that; 65 it refuses this
caller; 67 TLS failed. `cache` ends with the codes of cache-check (10 incomplete, 11 corrupt ...)."""


@dataclass(frozen=True, slots=True)
class Encodings:
    """The options of `--encoding` and `--offsets`.

    Attributes:
        file: Python's name of the input's encoding; empty: that of its byte order mark, else UTF-8.
        offsets: the unit of positions.
    """

    file: str
    offsets: Offsets


def read_encodings(arguments: argparse.Namespace) -> Encodings:
    """Return the encoding of the input and the unit of positions.

    `--encoding` set the unit before `--offsets` existed. It still does so with the three names of units, unless
    `--offsets` is given.

    Raises:
        UsageError: when the encoding is unknown.
    """
    given: str = arguments.encoding or ""
    unit: str | None = getattr(arguments, "offsets", None)
    if unit is None and hasattr(arguments, "offsets") and given.lower() in set(Offsets):
        return Encodings("", Offsets(given.lower()))
    return Encodings(parse_encoding(given) if given else "", Offsets(unit or Offsets.CODE_POINTS))


def read_reading(arguments: argparse.Namespace) -> ReadingOptions:
    """Return how to read the input.

    Raises:
        UsageError: when options contradict each other, or the encoding is unknown.
    """
    segment = Segmentation(arguments.segment) if arguments.segment else None
    if arguments.whole:
        if segment not in {None, Segmentation.FILE}:
            raise UsageError(f"--whole and --segment {segment} contradict each other", "give one of them")
        segment = Segmentation.FILE
    return ReadingOptions(
        input=InputFormat(arguments.input),
        segment=segment,
        encoding=read_encodings(arguments).file,
        column=arguments.column,
        id_column=arguments.id_column,
        sheet=arguments.sheet,
        header=not arguments.no_header,
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
    _add_entities(command("entities", "find names of people, places and organizations"))
    _add_syntax(
        command("syntax", "split texts into sentences and tokens, with lemma, part of speech and head")
    )
    _add_embed(command("embed", "compute vectors"))
    _add_paraphrases(command("paraphrases", "find texts of similar meaning, within one input or between two"))
    _add_analyze(command("analyze", "run several tasks on each text, as a stream of any length"))
    report = command("report", "write a page of statements with sentiment, entities and similar statements")
    _add_input(report, model=False, long_texts=False)
    add_page(report, DEFAULT_THRESHOLD)
    add_pseudonymize(command("pseudonymize", PSEUDONYMIZE))
    command("models", "list the models that the worker serves, and its limits")
    command("cache", "show the state of the worker's model cache")
    add_local(commands)
    _add_health(command("health", "show whether the worker serves"))
    top.add_completion(commands)
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
        "--plaintext-token",
        action="store_true",
        help="send the token without TLS to another machine, where everybody on the way can read it (default: refuse)",
    )
    parser.add_argument(
        "--quiet",
        action="store_true",
        help="write neither progress nor log messages to stderr (default: write both)",
    )


def _add_sentiment(parser: argparse.ArgumentParser) -> None:
    _add_input(parser)
    add_output(parser)
    parser.add_argument(
        "--sentences", action="store_true", help="classify each sentence, too (default: only whole texts)"
    )
    _add_offsets(parser)


def _add_entities(parser: argparse.ArgumentParser) -> None:
    _add_input(parser)
    add_output(parser)
    _add_offsets(parser)
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


def _add_syntax(parser: argparse.ArgumentParser) -> None:
    _add_input(parser)
    add_output(parser)
    _add_offsets(parser)
    parser.add_argument(
        "--layer",
        action="append",
        default=[],
        choices=list(SyntaxLayer),
        metavar="|".join(SyntaxLayer),
        help="what to find beside the tokens, only this is computed; may be repeated; `qda-client models --format "
        "json` lists those of each model (default: all that the model has)",
    )


def _add_embed(parser: argparse.ArgumentParser) -> None:
    _add_input(parser)
    add_output(parser)
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
    _add_prompt(parser)


def _add_paraphrases(parser: argparse.ArgumentParser) -> None:
    _add_input(parser, several=False)
    parser.add_argument(
        "others",
        nargs="?",
        metavar="OTHERS",
        help="second file or folder; compare its texts with those of FILE (default: compare the texts of FILE with "
        "each other)",
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
    _add_prompt(parser)


def _add_prompt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prompt",
        default="",
        metavar="NAME",
        help="name of the model's prompt to put before each text, as query or passage for models like E5; `qda-client "
        "models --format json` lists those of each model (default: the model's default prompt, if it has one)",
    )


def _add_analyze(parser: argparse.ArgumentParser) -> None:
    _add_input(parser, model=False)
    add_output(parser)
    _add_offsets(parser)
    parser.add_argument(
        "--task",
        action="append",
        metavar="TASK[=KEY]",
        help="sentiment, entities, syntax or embedding, optionally with a model's key; may be repeated "
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


def _add_input(
    parser: argparse.ArgumentParser, *, model: bool = True, several: bool = True, long_texts: bool = True
) -> None:
    if several:
        parser.add_argument("files", nargs="*", metavar="FILE", help=_FILE_HELP.format("files and folders"))
    else:
        parser.add_argument(
            "file", nargs="?", default="-", metavar="FILE", help=_FILE_HELP.format("file or folder")
        )
    parser.add_argument(
        "--input",
        choices=list(InputFormat),
        default=InputFormat.AUTO,
        metavar="|".join(InputFormat),
        help="format of FILE; auto: by its content and name; lines: plain text, one text on each line, blank lines are "
        'skipped; jsonl: on each line a JSON string or {"id": …, "text": …, "language": …}; json: a transcript, or a '
        "list of what jsonl has on its lines; csv: a table, with any delimiter; a line with an error does not affect "
        "the others (default: auto)",
    )
    parser.add_argument(
        "--segment",
        choices=list(Segmentation),
        metavar="|".join(Segmentation),
        help="what is one text; turn: what a speaker says until the next one begins, without label and time marks "
        "(default: turn for transcripts and subtitles, paragraph for other documents, line for plain text; tables, "
        "jsonl and lists in json have a text in each row)",
    )
    parser.add_argument(
        "--column",
        default="",
        metavar="NAME",
        help="column of the texts in a table, by its name or its number from 1 (default: text, or the only one)",
    )
    parser.add_argument(
        "--id-column",
        default="",
        metavar="NAME",
        help="column of the ids in a table (default: id, else the number of the row)",
    )
    parser.add_argument(
        "--sheet", default="", metavar="NAME", help="sheet of a workbook (default: the first one)"
    )
    parser.add_argument(
        "--no-header",
        action="store_true",
        help="the first row of a table has a text (default: it has the names of the columns)",
    )
    parser.add_argument(
        "--encoding",
        metavar="NAME",
        help="encoding of text files, as windows-1252, latin-1, mac-roman or utf-16-le (default: that of the byte "
        "order mark, else utf-8; for csv also windows-1252)",
    )
    parser.add_argument(
        "--whole",
        action="store_true",
        help="read the whole file as one text, as --segment file; line ends become LF and a byte order mark is left "
        "out, as Python's open(FILE, encoding='utf-8-sig') reads it, and positions refer to that text (default: as "
        "--segment says)",
    )
    if long_texts:
        parser.add_argument(
            "--long-texts",
            choices=list(LongTexts),
            default=LongTexts.CUT,
            metavar="error|cut|window",
            help="for texts that are longer than the model's limit: return an error, use only the beginning, or use "
            "all in overlapping windows (default: cut)",
        )
    if model:
        parser.add_argument(
            "--model",
            default="",
            metavar="KEY",
            help="key of the model (default: the catalog's default for this task)",
        )


def _add_offsets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--offsets",
        choices=list(Offsets),
        metavar="|".join(Offsets),
        help="unit of positions in a text; --encoding with one of these three names sets it, too (default: "
        "code-points, as in Python and R)",
    )
