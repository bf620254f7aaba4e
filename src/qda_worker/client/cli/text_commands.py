"""Run the commands that analyze texts: read segments, call the worker, write each result as it comes.

The texts of an input are read and sent in lists of 10,000, each of which the client sends in several requests. Memory
holds one list, however long the input is. `analyze`, `--stream` and multi-vectors send each text as it is read instead.
JSON on stdout is one document of all results, which are in memory.

With `--resume`, texts that the output file has a result of are skipped. The file must be the first thing that is
opened, and the input is read once more from its beginning.
"""

import argparse
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from itertools import chain
from pathlib import Path
from typing import Any, Final

from model_cache.errors import UsageError
from qda_worker.client.cli.command_errors import COMMAND_FAILURES
from qda_worker.client.cli.connection import Format
from qda_worker.client.cli.file_writer import FileWriter
from qda_worker.client.cli.output_options import file_format
from qda_worker.client.cli.progress_line import InputCounter, ProgressLine
from qda_worker.client.cli.signals import close_on_signal
from qda_worker.client.cli.terminal import Terminal
from qda_worker.client.cli.text_calls import TextCall, text_call
from qda_worker.client.cli.text_input import input_files, read_segments, refuse_output_as_input
from qda_worker.client.cli.writer import ResultWriter, StdoutWriter
from qda_worker.client.readers.segment import Segment
from qda_worker.client.results import Answer
from qda_worker.client.sync_client import Client
from qda_worker.client.tables.csv_table import csv_style
from qda_worker.client.tables.output_file import IfExists, OutputFile, partial_path
from qda_worker.client.texts import Text

# Texts of one list, and the characters in them.
BATCH_TEXTS: Final = 10_000
_BATCH_CHARACTERS: Final = 16 * 2**20


def run_text_command(client: Client, arguments: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    """Run the command of the arguments and return its exit code.

    Raises:
        UsageError: when an argument, the input or the output file is wrong.
        ClientError: when the call fails before there is a result.
    """
    call = text_call(client, arguments)
    path = arguments.resume or arguments.output
    if path:
        return _run_to_file(call, arguments, form, terminal, Path(path))
    if form in (Format.XLSX, Format.PARQUET, Format.QDPX, Format.QDC):
        raise UsageError(f"{form} is written to a file", f"give --output results.{form}")
    return _run_to_stdout(call, arguments, form, terminal)


def _run_to_file(
    call: TextCall[Any], arguments: argparse.Namespace, form: Format, terminal: Terminal, path: Path
) -> int:
    if arguments.resume and (arguments.overwrite or arguments.output not in (None, arguments.resume)):
        raise UsageError(
            "--resume continues its FILE, and was given with --overwrite or another --output",
            "leave one of them out",
        )
    if_exists = (
        IfExists.RESUME
        if arguments.resume
        else IfExists.OVERWRITE
        if arguments.overwrite
        else IfExists.REFUSE
    )
    outputs = _outputs(arguments)
    refuse_output_as_input(input_files(arguments), outputs)
    output = OutputFile(
        path,
        file_format(path, form, given=arguments.format is not None),
        call.options,
        if_exists=if_exists,
        style=csv_style(arguments.delimiter),
    )
    with closing(output):
        if output.is_complete:
            terminal.report(f"{path} is complete; --overwrite computes it again")
            return 0
        writer = FileWriter[Any](output, call.options, terminal, quiet=arguments.quiet)
        segments = read_segments(input_files(arguments), arguments, terminal, leave_out=outputs)
        return _run(call, arguments, _left(segments, output), writer, terminal, before=len(output.answered))


def _left(segments: Iterable[Segment], output: OutputFile) -> Iterator[Segment]:
    """Yield the segments that have no result of an earlier run; tell the output which files are read."""
    for segment in segments:
        output.sources.add(segment.source)
        if not output.was_answered(segment.id):
            yield segment


def _run_to_stdout(
    call: TextCall[Any], arguments: argparse.Namespace, form: Format, terminal: Terminal
) -> int:
    segments = read_segments(input_files(arguments), arguments, terminal)
    style = csv_style(arguments.delimiter)
    if call.as_list is None or (_wants_stream(arguments) and form in (Format.JSONL, Format.CSV)):
        writer = StdoutWriter[Any](call, form, terminal, total=None, style=style)
        return _run_stream(call, arguments, segments, writer, terminal)
    first = list(segments) if form is Format.JSON else _take(segments)
    rest = next(segments, None)
    total = len(first) if rest is None else None
    writer = StdoutWriter[Any](call, form, terminal, total=total, style=style)
    batches = _batches(first, segments if rest is None else chain([rest], segments))
    return _run_lists(call, arguments, batches, writer, terminal, total=total)


def _run(
    call: TextCall[Any],
    arguments: argparse.Namespace,
    segments: Iterator[Segment],
    writer: ResultWriter[Any],
    terminal: Terminal,
    *,
    before: int,
) -> int:
    """Send the segments as lists, or stream them, and return the exit code."""
    if call.as_list is None or _wants_stream(arguments):
        return _run_stream(call, arguments, segments, writer, terminal, before=before)
    batches = _batches([], segments)
    return _run_lists(call, arguments, batches, writer, terminal, total=None, before=before)


def _wants_stream(arguments: argparse.Namespace) -> bool:
    multi_vector = "multi-vector" in (getattr(arguments, "kind", None) or ())
    return bool(arguments.stream or multi_vector)


def _run_lists(
    call: TextCall[Any],
    arguments: argparse.Namespace,
    batches: Iterable[Sequence[Segment]],
    writer: ResultWriter[Any],
    terminal: Terminal,
    *,
    total: int | None,
    before: int = 0,
) -> int:
    """Send one list of segments after the other, write the results as they arrive, and return the exit code.

    Args:
        call: the call.
        arguments: those of the command.
        batches: the lists.
        writer: where the results go.
        terminal: the program's streams.
        total: number of all segments; None if they are not counted yet.
        before: number of texts with a result of an earlier run.
    """
    assert call.as_list is not None
    to_file = isinstance(writer, FileWriter)
    shown = terminal.progress and (to_file or not terminal.stdout.isatty())
    counter = _count_input(arguments, terminal) if shown and total is None else None
    progress = ProgressLine(
        terminal, total=lambda: total or (counter.total if counter else None), before=before
    )
    done = 0
    try:
        for batch in batches:
            add, show = _receivers(batch, writer, progress if shown else None, done)
            texts = [segment.to_text() for segment in batch]
            with close_on_signal(call.close):
                call.as_list(texts, add, show)
            done += len(batch)
        progress.end()
        return writer.end()
    except COMMAND_FAILURES as failure:
        progress.end()
        return writer.fail(failure)
    finally:
        if counter is not None:
            counter.stop()


def _receivers(
    batch: Sequence[Segment], writer: ResultWriter[Any], progress: ProgressLine | None, done: int
) -> tuple[Callable[[int, Answer[Any]], None], Callable[[int, int], None]]:
    """Return what receives the results of a list, and its progress after `done` segments of former lists.

    If the call fails, it also delivers results behind a gap. In a file they would be taken for those of the texts in
    the gap if ids are equal, so they are dropped: the file stays a beginning of the input.
    """
    written = 0

    def add(start: int, part: Answer[Any]) -> None:
        nonlocal written
        if start > written and isinstance(writer, FileWriter):
            return
        written = start + len(part)
        writer.add(batch[start : start + len(part)], part.results, part.provenances[0], part.timings)

    def show(count: int, _: int) -> None:
        if progress is not None:
            progress.show(done + count)

    return add, show


def _run_stream(
    call: TextCall[Any],
    arguments: argparse.Namespace,
    segments: Iterable[Segment],
    writer: ResultWriter[Any],
    terminal: Terminal,
    *,
    before: int = 0,
) -> int:
    """Stream segments, write each result as it arrives, and return the exit code."""
    sent = _SentSegments(segments)
    shown = terminal.progress and (isinstance(writer, FileWriter) or not terminal.stdout.isatty())
    counter = _count_input(arguments, terminal) if shown else None
    progress = ProgressLine(terminal, total=lambda: counter.total if counter else None, before=before)
    try:
        with close_on_signal(call.close):
            for done, (result, models) in enumerate(call.as_stream(sent.texts()), start=1):
                writer.add([sent.oldest()], [result], models)
                if shown:
                    progress.show(done)
        progress.end()
        return writer.end()
    except COMMAND_FAILURES as failure:
        progress.end()
        return writer.fail(failure)
    finally:
        if counter is not None:
            counter.stop()


def _count_input(arguments: argparse.Namespace, terminal: Terminal) -> InputCounter | None:
    """Begin to count the texts of the input; None if it can be read only once."""
    files = input_files(arguments)
    with suppress(OSError):
        if all(Path(file).is_file() or Path(file).is_dir() for file in files):
            return InputCounter(
                read_segments(files, arguments, terminal, quiet=True, leave_out=_outputs(arguments))
            )
    return None


def _outputs(arguments: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes; none for stdout."""
    name = arguments.resume or arguments.output
    return [Path(name), partial_path(Path(name))] if name else []


class _SentSegments:
    """The segments that were sent and have no result yet. gRPC's thread adds them, the main thread takes them."""

    def __init__(self, segments: Iterable[Segment]) -> None:
        self._segments = segments
        self._sent: deque[Segment] = deque()

    def texts(self) -> Iterator[Text]:
        """Yield the text of each segment."""
        for segment in self._segments:
            self._sent.append(segment)
            yield segment.to_text()

    def oldest(self) -> Segment:
        """Return the segment whose result is next."""
        return self._sent.popleft()


def _batches(first: list[Segment], segments: Iterator[Segment]) -> Iterator[list[Segment]]:
    """Yield lists of segments: `first` unless it is empty, then the others."""
    batch = first or _take(segments)
    while batch:
        yield batch
        batch = _take(segments)


def _take(segments: Iterator[Segment]) -> list[Segment]:
    """Return the next segments, as many as are sent as one list."""
    taken: list[Segment] = []
    characters = 0
    while len(taken) < BATCH_TEXTS and characters < _BATCH_CHARACTERS:
        segment = next(segments, None)
        if segment is None:
            break
        taken.append(segment)
        characters += len(segment.text)
    return taken
