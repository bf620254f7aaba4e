"""Write results to stdout as they arrive, and end the output when all are there, a call fails or a signal stops it.

JSON Lines and tables are written and flushed with each response, so that nothing that was answered is lost. JSON is one
document, which is always completed: results that were written before a failure are in it, with the failure. The program
reports a failure itself (`main`) if nothing was written before. A signal waits until a part is written as a whole.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Generic, TypeVar

from model_cache.json_values import to_json_line, to_json_text
from qda_worker.client.cli import render
from qda_worker.client.cli.command_errors import (
    CommandFailure,
    as_error,
    error_fields,
    exit_code,
    hold_signals,
)
from qda_worker.client.cli.connection import Format
from qda_worker.client.cli.terminal import Terminal
from qda_worker.client.results import (
    Answer,
    DocumentAnalysis,
    Embedding,
    Entities,
    Provenance,
    Sentiment,
    Timings,
)
from qda_worker.client.texts import Text

# Exit code if some texts have an error and the others have results.
SOME_FAILED: Final = 1

R = TypeVar("R", bound=Sentiment | Entities | Embedding)


class AnswerWriter(Generic[R]):
    """Writes the answer to a list of texts."""

    def __init__(
        self,
        texts: Sequence[Text],
        form: Format,
        terminal: Terminal,
        columns: render.Row,
        rows: Callable[[R, Text], Iterator[render.Row]],
    ) -> None:
        """Begin without a result.

        Args:
            texts: the texts of the list.
            form: the format of the output.
            terminal: the program's streams.
            columns: names of the table's columns.
            rows: returns the rows of a result.
        """
        self._texts = texts
        self._form = form
        self._terminal = terminal
        self._table = render.Table(columns)
        self._rows = rows
        self._results: list[R] = []  # only for JSON
        self._provenances: list[Provenance] = []
        self._timings = Timings()
        self._written = 0
        self._failed = 0
        self._ended = False

    @hold_signals()
    def add(self, start: int, part: Answer[R]) -> None:
        """Write the results of a response; `start` is the position of its first text."""
        self._provenances.extend(each for each in part.provenances if each not in self._provenances)
        self._timings = self._timings.joined(part.timings)
        self._failed += sum(not result.ok for result in part)
        self._written += len(part)
        if self._form is Format.JSON:
            self._results.extend(part)
            return
        if self._form is Format.JSONL:
            lines = [to_json_line(result) for result in part]
        else:
            texts = self._texts[start : start + len(part)]
            rows = [row for result, text in zip(part, texts, strict=True) for row in self._rows(result, text)]
            lines = [self._table.add(rows)]
        self._terminal.write("\n".join(lines), flush=True)

    @hold_signals()
    def end(self, answer: Answer[R]) -> int:
        """End the output after the last result and return the exit code."""
        self._timings = answer.timings
        if self._form is Format.JSON:
            self._terminal.write(to_json_text(self._document()), flush=True)
        elif self._form is Format.TABLE:
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
        progress = f"{self._written:,} of {len(self._texts):,} texts were answered and written"
        error = as_error(failure, progress, some_written=True)
        if self._ended:  # the signal came when the output was complete
            pass
        elif self._form is Format.JSON:
            self._terminal.write(to_json_text({**self._document(), "error": error_fields(error)}))
        elif self._form is Format.TABLE:
            self._terminal.write(self._summary(f" of {len(self._texts):,}"))
        self._terminal.report(str(error))
        if self._form is Format.JSONL:
            self._terminal.write(to_json_line(error_fields(error)))
        return exit_code(error)

    def _document(self) -> dict[str, object]:
        return {"results": self._results, "provenances": self._provenances, "timings": self._timings}

    def _summary(self, of_total: str) -> str:
        errors = f", {self._failed:,} with an error" if self._failed else ""
        return f"\n{self._written:,}{of_total} texts{errors}. {render.provenance_line(self._provenances)}"


class StreamWriter:
    """Writes the results of a stream of any length, one by one; JSON is one list."""

    def __init__(self, form: Format, terminal: Terminal) -> None:
        """Begin without a result."""
        self._form = form
        self._terminal = terminal
        self._written = 0
        self._failed = False
        self._ended = False

    @hold_signals()
    def add(self, result: DocumentAnalysis | Embedding, row: render.Row = ()) -> None:
        """Write a result; `row` is that of the table."""
        self._failed |= not result.ok
        if self._form is Format.TABLE:
            text = "  ".join(cell.ljust(10) for cell in row).rstrip()
        elif self._form is Format.JSONL:
            text = to_json_line(result)
        else:
            text = ("," if self._written else "[") + to_json_line(result)
        self._terminal.write(text, flush=True)
        self._written += 1

    @hold_signals()
    def end(self) -> int:
        """End the output after the last result and return the exit code."""
        if self._form is Format.JSON:
            self._terminal.write("]" if self._written else "[]", flush=True)
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
        error = as_error(failure, f"{self._written:,} texts were answered and written", some_written=True)
        self._terminal.report(str(error))
        last = to_json_line(error_fields(error))
        if self._form is Format.JSON and not self._ended:
            self._terminal.write(f",{last}\n]")
        elif self._form is Format.JSONL:
            self._terminal.write(last)
        return exit_code(error)
