"""Write results to an output file (`--output`, `--resume`), and tell how to continue after a failure or a signal."""

from collections.abc import Mapping, Sequence
from typing import Generic

from model_cache.errors import ModelCacheError
from model_cache.reasons import Reason
from qda_worker.client.cli.command_errors import (
    CommandFailure,
    Interrupted,
    as_error,
    exit_code,
)
from qda_worker.client.cli.signals import hold_signals
from qda_worker.client.cli.terminal import Terminal
from qda_worker.client.cli.text_calls import Models
from qda_worker.client.cli.writer import SOME_FAILED, R
from qda_worker.client.readers.segment import Segment
from qda_worker.client.results import Timings
from qda_worker.client.tables.output_file import OutputFile
from qda_worker.client.tables.records import to_record


class FileWriter(Generic[R]):
    """Writes records of the results of one run."""

    def __init__(
        self, output: OutputFile, options: Mapping[str, object], terminal: Terminal, *, quiet: bool
    ) -> None:
        """Begin without a result of this run.

        Args:
            output: the file.
            options: those of records.
            terminal: the program's streams.
            quiet: whether to write no summary.
        """
        self._output = output
        self._options = options
        self._terminal = terminal
        self._quiet = quiet
        self._written = 0
        self._failed = 0

    @hold_signals()
    def add(
        self,
        segments: Sequence[Segment],
        results: Sequence[R],
        models: Models,
        timings: Timings | None = None,
    ) -> None:
        """Write results, with their texts and what computed them."""
        self._output.add(
            to_record(segment, result, models, self._options)
            for segment, result in zip(segments, results, strict=True)
        )
        self._failed += sum(not result.ok for result in results)
        self._written += len(results)

    @hold_signals()
    def end(self) -> int:
        """Complete the file and return the exit code."""
        before = len(self._output.answered)
        self._output.finish()
        if not self._quiet:
            errors = f", {self._failed:,} with an error" if self._failed else ""
            earlier = f", {before:,} from earlier runs" if before else ""
            self._terminal.report(
                f"{self._output.path} has {self._written + before:,} results{errors}{earlier}"
            )
        return SOME_FAILED if self._failed else 0

    @hold_signals()
    def fail(self, failure: CommandFailure) -> int:
        """Close the file because of an error or a signal, report it, and return the exit code.

        Raises:
            Exception: the error itself, if the file has no result.
        """
        self._output.close()
        total = self._written + len(self._output.answered)
        disk_full = isinstance(failure, ModelCacheError) and failure.reason is Reason.NO_SPACE
        if not total or disk_full:  # the error of a full disk tells how to continue
            raise as_error(failure) from failure
        path = self._output.path
        progress = f"{path} has {total:,} results"
        error = as_error(failure, progress, some_written=True)
        if isinstance(error, Interrupted):
            error.remedy = f"run the same command with --resume {path} instead of --output, to continue"
            self._terminal.report_error(error)
        else:
            self._terminal.report_error(error, f"{progress}; --resume {path} continues.")
        return exit_code(error)
