"""Write results to stdout as they arrive, and end the output when all are there, a call fails or a signal stops it.

JSON Lines, CSV and tables are written and flushed with each response, so that nothing that was answered is lost. JSON
is one document, which is always completed: results that were written before a failure are in it, with the failure.
The program reports a failure itself (`main`) if nothing was written before. A signal waits until a part is written.
"""

from collections.abc import Sequence
from typing import Final, Generic, Protocol, TypeVar

from model_cache.explanations import with_help
from model_cache.json_values import dump_json_line, to_json_line, to_json_text
from qda_worker.client.cli import render
from qda_worker.client.cli.command_errors import (
    CommandFailure,
    as_error,
    error_fields,
    exit_code,
)
from qda_worker.client.cli.connection import Format
from qda_worker.client.cli.signals import hold_signals
from qda_worker.client.cli.terminal import Terminal
from qda_worker.client.cli.text_calls import Models, TextCall
from qda_worker.client.readers.segment import Segment
from qda_worker.client.results import (
    DocumentAnalysis,
    Embedding,
    Entities,
    Provenance,
    Sentiment,
    Syntax,
    Timings,
)
from qda_worker.client.tables import csv_table
from qda_worker.client.tables.conllu import ConlluWriter
from qda_worker.client.tables.csv_table import CsvStyle
from qda_worker.client.tables.file_formats import require_syntax
from qda_worker.client.tables.layout import layout_of
from qda_worker.client.tables.records import to_record

# Exit code if some texts have an error and the others have results.
SOME_FAILED: Final = 1

R = TypeVar("R", bound=Sentiment | Entities | Syntax | Embedding | DocumentAnalysis)
R_contra = TypeVar(
    "R_contra", bound=Sentiment | Entities | Syntax | Embedding | DocumentAnalysis, contravariant=True
)


class ResultWriter(Protocol[R_contra]):
    """Where the results of a command go."""

    def add(
        self,
        segments: Sequence[Segment],
        results: Sequence[R_contra],
        models: Models,
        timings: Timings | None = None,
    ) -> None:
        """Write results, with their texts and what computed them."""

    def end(self) -> int:
        """End the output after the last result and return the exit code."""

    def fail(self, failure: CommandFailure) -> int:
        """End the output because of an error or a signal, report it, and return the exit code.

        Raises:
            Exception: the error itself, if no result was written.
        """


class StdoutWriter(Generic[R]):
    """Writes results to stdout. JSON is one object for a list of texts, and an array for a stream."""

    def __init__(
        self,
        call: TextCall[R],
        form: Format,
        terminal: Terminal,
        *,
        total: int | None,
        style: CsvStyle | None = None,
    ) -> None:
        """Begin without a result.

        Args:
            call: the call that is answered.
            form: the format of the output.
            terminal: the program's streams.
            total: number of texts of a list; None for a stream.
            style: of CSV.
        """
        self._call = call
        self._form = form
        self._terminal = terminal
        self._total = total
        self._style = style or CsvStyle()
        self._table = render.Table(call.columns) if call.columns else None
        self._csv = layout_of(call.options) if form is Format.CSV else None
        if form is Format.CONLLU:
            require_syntax(call.options)
        self._conllu = ConlluWriter()
        self._results: list[R] = []  # only for JSON of a list
        self._provenances: list[Provenance] = []
        self._timings = Timings()
        self._written = 0
        self._failed = 0
        self._ended = False

    @hold_signals()
    def add(
        self,
        segments: Sequence[Segment],
        results: Sequence[R],
        models: Models,
        timings: Timings | None = None,
    ) -> None:
        """Write results, with their texts and what computed them."""
        if isinstance(models, Provenance) and models not in self._provenances:
            self._provenances.append(models)
        self._timings = self._timings.joined(timings or Timings())
        if self._form is Format.JSON and self._total is not None:
            self._results.extend(results)
        else:
            self._write(segments, results, models)
        self._failed += sum(not result.ok for result in results)
        self._written += len(results)

    @hold_signals()
    def end(self) -> int:
        """End the output after the last result and return the exit code."""
        if self._form is Format.JSON and self._total is not None:
            self._terminal.write(to_json_text(self._document()), flush=True)
        elif self._form is Format.JSON:
            self._terminal.write("]" if self._written else "[]", flush=True)
        elif self._form is Format.TABLE and self._table is not None:
            self._terminal.write(self._summary(""), flush=True)
        self._ended = True
        return SOME_FAILED if self._failed else 0

    @hold_signals()
    def fail(self, failure: CommandFailure) -> int:
        """End the output because of an error or a signal, report it, and return the exit code.

        Raises:
            Exception: the error itself, if no result was written.
        """
        if not self._written:
            raise as_error(failure) from failure
        of_total = "" if self._total is None else f" of {self._total:,}"
        progress = f"{self._written:,}{of_total} texts were answered and written"
        error = as_error(failure, progress, some_written=True)
        if self._ended:  # the signal came when the output was complete
            pass
        elif self._form is Format.JSON and self._total is not None:
            self._terminal.write(to_json_text({**self._document(), "error": error_fields(error)}))
        elif self._form is Format.JSON:
            self._terminal.write(f",{dump_json_line(error_fields(error))}\n]")
        elif self._form is Format.TABLE and self._table is not None:
            self._terminal.write(self._summary(of_total))
        self._terminal.report_error(error)
        if self._form is Format.JSONL:
            self._terminal.write(dump_json_line(error_fields(error)))
        return exit_code(error)

    def _write(self, segments: Sequence[Segment], results: Sequence[R], models: Models) -> None:
        """Write results in a format that is written as they arrive."""
        if self._csv is not None:
            records = [
                to_record(segment, result, models, self._call.options)
                for segment, result in zip(segments, results, strict=True)
            ]
            header = "" if self._written else csv_table.header_lines(self._csv, self._style)
            rows = [row for record in records for row in self._csv.rows(record)]
            text = header + csv_table.row_lines(rows, self._style)
            self._terminal.write(text.removesuffix("\n"), flush=True)
            return
        if self._form is Format.CONLLU:
            for segment, result in zip(segments, results, strict=True):
                record = to_record(segment, result, models, self._call.options)
                for block in self._conllu.blocks(record):
                    self._terminal.write(block.removesuffix("\n"), flush=True)
            return
        if self._form is Format.JSONL:
            text = "\n".join(map(_to_line, results))
        elif self._form is Format.JSON:
            text = ("," if self._written else "[") + ",".join(map(_to_line, results))
        else:
            rows_of_table = [
                row
                for segment, result in zip(segments, results, strict=True)
                for row in self._call.rows(result, segment.to_text())
            ]
            text = (
                self._table.add(rows_of_table)
                if self._table is not None
                else "\n".join("  ".join(cell.ljust(10) for cell in row).rstrip() for row in rows_of_table)
            )
        self._terminal.write(text, flush=True)

    def _document(self) -> dict[str, object]:
        results = [result if result.ok else with_help(result) for result in self._results]
        return {"results": results, "provenances": self._provenances, "timings": self._timings}

    def _summary(self, of_total: str) -> str:
        errors = f", {self._failed:,} with an error" if self._failed else ""
        return f"\n{self._written:,}{of_total} texts{errors}. {render.provenance_line(self._provenances)}"


def _to_line(result: Sentiment | Entities | Syntax | Embedding | DocumentAnalysis) -> str:
    """Return a result as a line of JSON. Only one with an error is searched for reasons: vectors are long."""
    return to_json_line(result) if result.ok else dump_json_line(with_help(result))
