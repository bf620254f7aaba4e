"""The options of `pseudonymize`. Imports no gRPC."""

import argparse
from typing import Final

from qda_worker.client.pseudonyms.kinds import Language
from qda_worker.client.readers.options import InputFormat

PSEUDONYMIZE: Final = (
    "replace names, addresses and numbers by placeholders: first write a list to review (--review), then apply it "
    "(--apply); --restore puts the originals back"
)


def add_pseudonymize(parser: argparse.ArgumentParser) -> None:
    """Add the options of `pseudonymize`."""
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="files and folders of the corpus; with --restore those that have placeholders. txt, csv, jsonl, srt and "
        "vtt keep their structure and bytes; docx, odt, rtf, pdf, json, otr and HTML of noScribe become text files",
    )
    steps = parser.add_mutually_exclusive_group(required=True)
    steps.add_argument(
        "--review",
        metavar="LIST",
        help="write the list of what was found, as CSV for a spreadsheet, and change nothing",
    )
    steps.add_argument(
        "--apply",
        metavar="LIST",
        help="replace what has yes in the list; needs --output and --key, and no worker",
    )
    steps.add_argument(
        "--restore", metavar="KEY", help="put the originals back by a key file; needs --output, and no worker"
    )
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", help="new folder for the files, with --apply and --restore"
    )
    parser.add_argument(
        "--key",
        metavar="FILE",
        help="new file for the key, with --apply; only you can read it, and it cannot be in the folder of --output",
    )
    parser.add_argument(
        "--known",
        metavar="KEY",
        help="key of texts that were replaced earlier, with --review: its forms keep their placeholders (default: "
        "none)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace the list of --review (default: refuse a file that exists)",
    )
    parser.add_argument(
        "--lang",
        choices=list(Language),
        default=Language.GERMAN,
        metavar="|".join(Language),
        help="language of the placeholders: [Ort 1] or [Place 1] (default: de)",
    )
    parser.add_argument(
        "--model",
        default="",
        metavar="KEY",
        help="key of the model that finds names (default: the catalog's default for entities)",
    )
    parser.add_argument(
        "--input",
        choices=list(InputFormat),
        default=InputFormat.AUTO,
        metavar="|".join(InputFormat),
        help="format of text files (default: auto, by their names)",
    )
    parser.add_argument(
        "--encoding",
        metavar="NAME",
        help="encoding of text files, as windows-1252 (default: that of the byte order mark, else utf-8; for csv also "
        "windows-1252)",
    )
    parser.add_argument(
        "--column",
        default="",
        metavar="NAME",
        help="column of a table in which the model looks for names, by its name or its number from 1; what is found is "
        "replaced in all columns (default: text, or the only one)",
    )
