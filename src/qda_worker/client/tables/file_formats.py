"""The formats of output files, and what each can hold."""

from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from model_cache.errors import ModelCacheError, UsageError
from model_cache.reasons import Reason
from qda_worker.client.tables.layout import tasks_of


class FileFormat(Enum):
    """The format of an output file; the value is the end of its name."""

    JSONL = ".jsonl"
    CSV = ".csv"
    XLSX = ".xlsx"
    PARQUET = ".parquet"
    QDPX = ".qdpx"
    QDC = ".qdc"
    CONLLU = ".conllu"

    @property
    def is_converted(self) -> bool:
        """Whether it is made at the end, from JSON Lines."""
        return self not in (FileFormat.JSONL, FileFormat.CSV)

    @property
    def is_table(self) -> bool:
        """Whether it has the columns of a layout."""
        return self in (FileFormat.CSV, FileFormat.XLSX, FileFormat.PARQUET)


def require_syntax(options: Mapping[str, object]) -> None:
    """Check that results can be written as CoNLL-U.

    Raises:
        UsageError: when they have no tokens.
    """
    command = options.get("command")
    if command == "analyze" and "syntax" not in tasks_of(options):
        raise UsageError(
            "the analysis has no task syntax, whose tokens CoNLL-U consists of", "add --task syntax"
        )
    if command not in ("syntax", "analyze"):
        raise UsageError(
            f"results of {command} have no tokens, which CoNLL-U consists of",
            "write results of syntax to it, or of analyze with --task syntax",
        )


def disk_full(path: Path, error: OSError) -> ModelCacheError:
    """Return the error of a full disk, or of a file that has reached its limit."""
    return ModelCacheError(
        f"{path}: {error.strerror}",
        f"free some space there, then run the same command with --resume {path} instead of --output",
        reason=Reason.NO_SPACE,
    )


def encode(text: str) -> bytes:
    """Return a text as it is in a file, which may have characters that UTF-8 cannot hold."""
    return text.encode(errors="backslashreplace")
