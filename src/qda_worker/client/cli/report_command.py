"""`qda-client report`: write the page of an interview, or of a corpus."""

import argparse
import webbrowser
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

from model_cache.errors import UsageError
from model_cache.file_io import replacement
from qda_worker.client.cli.connection import Format
from qda_worker.client.cli.options import DEFAULT_THRESHOLD
from qda_worker.client.cli.progress_line import ProgressLine
from qda_worker.client.cli.signals import close_on_signal
from qda_worker.client.cli.terminal import Terminal
from qda_worker.client.cli.text_input import input_files, read_segments, refuse_output_as_input
from qda_worker.client.cli.writer import SOME_FAILED
from qda_worker.client.report.collection import collect_report
from qda_worker.client.report.page import write_page
from qda_worker.client.report.wording import Language
from qda_worker.client.sync_client import Client

# The package whose version is on the page.
_PACKAGE: Final = "qda-worker"

# Files whose names are in the heading.
_NAMED_FILES: Final = 3


def run_report(client: Client, arguments: argparse.Namespace, _: Format, terminal: Terminal) -> int:
    """Write the report and return the exit code.

    Raises:
        UsageError: when the input or the output file is wrong.
        ClientError: when a call fails.
        OSError: when the page cannot be written.
    """
    path = Path(arguments.output)
    if path.exists() and not arguments.overwrite:
        raise UsageError(f"{path} exists", "replace it with --overwrite, or give another --output")
    if not path.parent.is_dir():
        raise UsageError(f"{path} cannot be written: no folder {path.parent}", "give a folder that exists")
    files = input_files(arguments)
    refuse_output_as_input(files, [path])
    segments = list(read_segments(files, arguments, terminal, leave_out=[path]))
    progress = ProgressLine(terminal, total=lambda: len(segments))
    threshold = DEFAULT_THRESHOLD if arguments.threshold is None else arguments.threshold
    try:
        with close_on_signal(client.close):
            report = collect_report(
                client,
                segments,
                title=arguments.title or _title(files),
                threshold=threshold,
                created=datetime.now(UTC),
                on_progress=progress.show,
            )
    finally:
        progress.end()
    page = write_page(report, Language(arguments.lang), version(_PACKAGE))
    with replacement(path) as file:
        file.write(page.encode())
    failed = sum(bool(each.error) for each in report.statements)
    errors = f", {failed:,} with an error" if failed else ""
    if not arguments.quiet:
        terminal.report(f"{path} shows {len(report.statements):,} statements{errors}")
    if arguments.open:
        webbrowser.open(path.resolve().as_uri())
    return SOME_FAILED if failed else 0


def _title(files: Sequence[str]) -> str:
    """Return the names of the files, or how many there are."""
    names = ["Interview" if file == "-" else Path(file).stem or file for file in files]
    return ", ".join(names) if len(names) <= _NAMED_FILES else f"{names[0]} … {names[-1]}"
