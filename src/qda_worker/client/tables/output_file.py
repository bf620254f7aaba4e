"""The file of a run that may be interrupted: it is its own record, so that a run can go on where the last one ended.

Each result is written with one call, as it comes. A run that is killed leaves a file that ends within a line at most;
`resume` cuts that off, and tells which texts have a result. JSON Lines and CSV are written directly. The other
formats cannot be continued: their results are recorded as JSON Lines beside the file (`FILE.partial.jsonl`), and
converted at the end.

A lock keeps two runs from writing the same file. When the disk is full, what was written of a result is removed again.
"""

import json
import os
import stat
from collections.abc import Iterable, Mapping
from enum import Enum
from io import FileIO
from pathlib import Path
from typing import Final, TypeAlias

from model_cache.errors import NO_SPACE_ERRNOS, UsageError
from model_cache.json_values import dump_json_line
from qda_worker.client.extra_packages import require_package
from qda_worker.client.tables import csv_table
from qda_worker.client.tables.conversion import convert
from qda_worker.client.tables.csv_table import CsvStyle
from qda_worker.client.tables.file_formats import FileFormat, disk_full, encode, require_syntax
from qda_worker.client.tables.layout import describe_options, layout_of
from qda_worker.client.tables.records import AnsweredIds, Record, record_id
from qda_worker.client.tables.refi_qda.codings import require_codings
from qda_worker.client.tables.refi_qda.source_files import sources_among

Options: TypeAlias = Mapping[str, object]
# How each line of a record file begins.
_LINE_START: Final = b'{"id": "'
# The package that writes a format.
_PACKAGES: Final = {FileFormat.XLSX: "openpyxl", FileFormat.PARQUET: "pyarrow"}


class IfExists(Enum):
    """What to do if the output file exists."""

    REFUSE = "refuse"
    OVERWRITE = "overwrite"
    RESUME = "resume"


class OutputFile:
    """The results of one command in a file.

    Attributes:
        path: the file.
        answered: the texts with a result of an earlier run.
        sources: the files that this run reads. Only these are read again, for a REFI-QDA project.
        is_complete: whether an earlier run has completed a file that cannot be continued.
    """

    def __init__(
        self,
        path: Path,
        form: FileFormat,
        options: Options,
        *,
        if_exists: IfExists = IfExists.REFUSE,
        style: CsvStyle | None = None,
    ) -> None:
        """Open the file.

        Args:
            path: the file.
            form: its format.
            options: the command with the options that change results. A run is continued with the same ones only.
            if_exists: what to do if the file exists.
            style: of CSV.

        Raises:
            UsageError: when the file exists or cannot be continued, or the package for its format is missing.
            ModelCacheError: when the disk is full.
            OSError: when the file cannot be written.
        """
        self.path = path
        self.answered = AnsweredIds()
        self.sources: set[str] = set()
        self.is_complete = False
        self._form = form
        self._options = options
        self._style = style or CsvStyle()
        if form.is_table:
            self._layout = layout_of(options)
        elif form in (FileFormat.QDPX, FileFormat.QDC):
            require_codings(options)
        elif form is FileFormat.CONLLU:
            require_syntax(options)
        if form in _PACKAGES:
            require_package(_PACKAGES[form], form.name, "write csv")
        self._record_path = partial_path(path) if form.is_converted else path
        self._refuse_existing(if_exists)
        self._size = 0
        self._begun = False
        self._file: FileIO | None = None
        if form.is_converted and if_exists is IfExists.RESUME and path.exists():
            self.is_complete = not self._record_path.exists()
        if self.is_complete:
            return
        self._file = _open(self._record_path)
        # A device or a pipe, as /dev/stdout, is written as it is.
        self._is_regular = stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)
        try:
            if if_exists is IfExists.RESUME and self._is_regular:
                self._size = self._find_end()
        except BaseException:
            self._file.close()
            raise

    def was_answered(self, identifier: str) -> bool:
        """Return whether an earlier run has answered the next text with this id."""
        if self._form is FileFormat.CSV:
            identifier = csv_table.harmless(encode(identifier).decode())
        return self.answered.take(identifier)

    def add(self, records: Iterable[Record]) -> None:
        """Append records.

        Raises:
            ModelCacheError: when the disk is full; the file then ends with the last whole record.
            OSError: when the file cannot be written.
        """
        self._begin()
        for record in records:
            if self._form is FileFormat.CSV:
                self._write(csv_table.row_lines(self._layout.rows(record), self._style))
            else:
                self._write(dump_json_line(record) + "\n")

    def finish(self) -> None:
        """Complete the file after the last record, and close it.

        Raises:
            ModelCacheError: when the disk is full, or the package for the format is not installed.
            OSError: when the file cannot be written.
        """
        if self._file is None:
            return
        self._begin()
        if not self._form.is_converted:
            self.close()
            return
        try:
            read_source = sources_among(self.sources)
            convert(self._record_path, self.path, self._form, self._style, read_source)
        finally:
            self.close()
        self._record_path.unlink()

    def close(self) -> None:
        """Close the file as it is, so that a later run can continue it. A file without any result is removed."""
        if self._file is None or self._file.closed:
            return
        if self._is_regular and not self._begun and not os.fstat(self._file.fileno()).st_size:
            self._record_path.unlink(missing_ok=True)
        self._file.close()

    def _begin(self) -> None:
        """Remove what is not kept, with the first result: a call that fails at once leaves the file as it was."""
        if self._begun or self._file is None:
            return
        self._begun = True
        if self._is_regular:
            self._file.truncate(self._size)
            self._file.seek(self._size)
        if self._form is FileFormat.CSV and not self._size:
            self._write(csv_table.header_lines(self._layout, self._style))

    def _refuse_existing(self, if_exists: IfExists) -> None:
        if if_exists is not IfExists.REFUSE:
            return
        existing = next((each for each in (self.path, self._record_path) if os.path.lexists(each)), None)
        if existing is not None:
            raise UsageError(
                f"{existing} exists",
                f"continue it with --resume {self.path}, replace it with --overwrite, or give another --output",
            )

    def _find_end(self) -> int:
        """Read the ids of an earlier run; return the size up to its last whole result."""
        if self._form is FileFormat.CSV:
            scanned = csv_table.scan_csv(self._record_path, self._layout, self._style)
            if scanned.options is not None:
                self._check_options(scanned.options)
            self.answered = AnsweredIds(scanned.ids)
            return scanned.end
        end = 0
        last = b""

        def ids() -> Iterable[str]:
            nonlocal end, last
            with self._record_path.open("rb") as file:
                for number, line in enumerate(file, start=1):
                    identifier = record_id(line)
                    if identifier is None:
                        if file.read(1) or not _is_torn(line):
                            raise UsageError(
                                f"{self._record_path}, line {number}: found no result",
                                "give a file that qda-client --output has written",
                            )
                        return  # the run ended within this line
                    end += len(line)
                    last = line
                    yield identifier

        self.answered = AnsweredIds(ids())
        if last:
            self._check_options(describe_options(_options_of(last)))
        return end

    def _check_options(self, found: str) -> None:
        wanted = describe_options(self._options)
        if found != wanted:
            raise UsageError(
                f'{self.path} has results of "{found}", not of "{wanted}"',
                "give the options of the run that wrote it, or another --output",
            )

    def _write(self, text: str) -> None:
        assert self._file is not None
        content = memoryview(encode(text))
        written = 0
        try:
            while written < len(content):
                written += self._file.write(content[written:]) or 0
        except OSError as error:
            if self._is_regular:
                self._file.truncate(self._size)  # frees space, so it succeeds on a full disk
            if error.errno in NO_SPACE_ERRNOS:
                raise disk_full(self.path, error) from error
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self._size += written


def partial_path(path: Path) -> Path:
    """Return where the results of a run are recorded before they are converted."""
    return path.with_name(f"{path.name}.partial.jsonl")


def _open(path: Path) -> FileIO:
    """Open a file for appending, and lock it.

    Raises:
        UsageError: when it cannot be opened, or another run writes it.
    """
    try:
        is_device = path.exists() and not path.is_file()
        access = os.O_WRONLY if is_device else os.O_RDWR
        file = FileIO(
            os.open(path, access | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666),
            "w" if is_device else "r+",
        )
    except OSError as error:
        if error.errno in NO_SPACE_ERRNOS:
            raise disk_full(path, error) from error
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", "give a file in a folder that exists"
        ) from error
    try:
        import fcntl
    except ImportError:  # Windows
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise UsageError(
            f"another run writes {path}", "wait for its end, or give another --output"
        ) from error
    except OSError:  # a file system without locks
        pass
    return file


def _is_torn(line: bytes) -> bool:
    """Return whether a line without a result is the beginning of one, not a line of another program."""
    if line.endswith(b"\n") or not (line.startswith(_LINE_START) or _LINE_START.startswith(line)):
        return False
    try:
        return bool(_options_of(line))
    except ValueError:
        return True


def _options_of(line: bytes) -> Options:
    value = json.loads(line)
    options = value.get("options") if isinstance(value, dict) else None
    return options if isinstance(options, dict) else {}
