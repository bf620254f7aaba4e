"""The segments that a command sends, from the files and options of its arguments."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from model_cache.errors import UsageError
from qda_worker.client.cli.options import read_reading
from qda_worker.client.cli.terminal import Terminal
from qda_worker.client.readers.corpus import read_corpus
from qda_worker.client.readers.files import is_same_file
from qda_worker.client.readers.segment import Segment


def input_files(arguments: argparse.Namespace) -> list[str]:
    """Return the files and folders of the command; `-` for stdin."""
    return [arguments.file] if hasattr(arguments, "file") else arguments.files or ["-"]


def refuse_output_as_input(files: Sequence[str], outputs: Sequence[Path]) -> None:
    """Refuse a file that is input and output.

    Raises:
        UsageError: when one of the files is one of the outputs, also by another name.
    """
    for file in map(Path, files):
        for output in outputs:
            # A device as /dev/stdout may be both.
            if is_same_file(file, output) and file.is_file():
                raise UsageError(f"{output} is the input, too", "give another --output")


def read_segments(
    files: Sequence[str],
    arguments: argparse.Namespace,
    terminal: Terminal,
    *,
    quiet: bool = False,
    leave_out: Sequence[Path] = (),
) -> Iterator[Segment]:
    """Yield the segments of files and folders; at least one.

    Args:
        files: paths; `-` for stdin.
        arguments: the options of reading.
        terminal: the program's streams.
        quiet: whether to report no warnings, besides `--quiet`.
        leave_out: files that are left out of folders, as the output. Those to which stdout and stderr lead are, too.

    Raises:
        UsageError: when a file cannot be read, or there is no text.
    """
    segment = None
    for segment in read_corpus(
        files,
        read_reading(arguments),
        stdin=terminal.stdin,
        warn=(lambda _: None) if quiet or arguments.quiet else terminal.report,
        leave_out=[*leave_out, *terminal.descriptors()],
    ):
        yield segment
    if segment is None:
        raise UsageError(
            f"there is no text in {', '.join(files)}", "give a file with at least one line of text"
        )
