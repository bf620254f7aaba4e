"""The options of output files, of the page, and of the commands that read a result file. Imports no gRPC."""

import argparse
from typing import Final

from model_cache.cli.parser import OptionParser
from qda_worker.client.enums import Priority

# Commands that need no worker (`local_commands`).
LOCAL_COMMANDS: Final = ("cite", "convert")

_CITE: Final = "print how to cite what computed a result file: models, licences, authors, worker, options"
_CONVERT: Final = (
    "write a result file in JSON Lines as a table, as CoNLL-U, or as a REFI-QDA project or code book"
)
_DELIMITER_HELP: Final = (
    "character between the fields of csv, or tab; with another one than ; decimals have a point instead of a comma "
    "(default: ;)"
)


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options of where and how results are written."""
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="file for the results, with the texts, models and options; its name ends .jsonl, .csv, .xlsx, .parquet, "
        ".qdpx, .qdc or .conllu, unless --format is given (default: stdout)",
    )
    parser.add_argument(
        "--resume",
        metavar="FILE",
        help="continue an output file that an earlier run has left, with the same input and options: texts that have "
        "a result in it are skipped; it is created if it does not exist (default: refuse a file that exists)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the output file (default: refuse a file that exists)",
    )
    parser.add_argument(
        "--delimiter",
        metavar="CHAR",
        help=_DELIMITER_HELP,
    )
    parser.add_argument(
        "--stream",
        action="store_true",
        help="send each text as it is read, and write its result before the next one comes, with jsonl, csv and "
        "--output (default: read and send 10,000 texts at a time; analyze always streams)",
    )
    parser.add_argument(
        "--priority",
        choices=list(Priority),
        metavar="|".join(Priority),
        help="lane in the worker's queue (default: interactive for short lists, bulk for others)",
    )


def add_page(parser: argparse.ArgumentParser, threshold: float) -> None:
    """Add the options of the page of `report`; `threshold` is the default of `--threshold`."""
    parser.add_argument(
        "-o",
        "--output",
        default="report.html",
        metavar="FILE",
        help="the page, which needs no other file and no network (default: report.html)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace the page (default: refuse a file that exists)"
    )
    parser.add_argument(
        "--lang",
        choices=["de", "en"],
        default="de",
        metavar="de|en",
        help="language of the page; the texts stay as they are (default: de)",
    )
    parser.add_argument("--title", metavar="TEXT", help="heading of the page (default: the name of FILE)")
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="SCORE",
        help=f"lowest score of similar statements, a cosine from -1 to 1 (default: {threshold})",
    )
    parser.add_argument(
        "--open", action="store_true", help="open the page in a browser at the end (default: do not)"
    )


def add_local(commands: "argparse._SubParsersAction[OptionParser]") -> None:
    """Add the commands that need no worker."""
    cite = commands.add_parser("cite", help=_CITE, description=_CITE)
    cite.add_argument(
        "--format", choices=["text", "bibtex"], default="text", metavar="text|bibtex", help="(default: text)"
    )
    convert = commands.add_parser("convert", help=_CONVERT, description=_CONVERT)
    convert.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="the table, or another file; its name ends .csv, .xlsx, .parquet, .qdpx, .qdc or .conllu (required)",
    )
    convert.add_argument(
        "--overwrite", action="store_true", help="replace the table (default: refuse a file that exists)"
    )
    convert.add_argument("--delimiter", metavar="CHAR", help=_DELIMITER_HELP)
    convert.add_argument(
        "--sources",
        metavar="FOLDER",
        help="folder whose files a project shows as they are, if RESULTS names them (default: read no sources, and "
        "show their segments)",
    )
    for each in (cite, convert):
        each.add_argument("results", metavar="RESULTS", help="a file that --output has written")
        each.add_argument("--quiet", action="store_true", help="write no messages (default: write them)")
