"""The German texts that prepared forms are calibrated with and judged by.

`texts/calibration.txt` and `texts/gate.txt` hold one text a line: sentences as in interviews, answers to surveys, and
reports. They were written for this project. Both files come from different patterns and share no line, because a form
shall not be judged by the texts that its scales were measured with.

Models also read paragraphs. `passages` joins consecutive lines to them, always in the same way.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model_cache.errors import UsageError
from model_cache.file_io import read_small_file

_FOLDER: Final = Path(__file__).parent / "texts"
# Numbers of lines that form one passage, in turn: about 40, 80 and 160 tokens.
_PASSAGE_LINES: Final = (3, 6, 12)
# Fewer texts say nothing about the worst hundredth, nor about the order of pairs.
MIN_TEXTS: Final = 100
# All pairs of the texts are compared.
MAX_TEXTS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Texts:
    """A set of texts.

    Attributes:
        texts: lines and passages.
        lines: number of lines among them.
        sha256: of the file.
    """

    texts: tuple[str, ...]
    lines: int
    sha256: str


def calibration_texts() -> Texts:
    """Return the shipped texts from which the scales of int8 are measured."""
    return _read(_FOLDER / "calibration.txt")


def gate_texts(file: Path | None = None) -> Texts:
    """Return the texts of the accuracy gate.

    Args:
        file: a file of the user with one text a line, in UTF-8; None: the shipped ones.

    Raises:
        UsageError: the file cannot be read, or has too few or too many texts.
    """
    if file is None:
        return _read(_FOLDER / "gate.txt")
    try:
        texts = _read(file)
    except OSError as error:
        raise UsageError(f"--texts {file}: {error.strerror}", "give a file that can be read") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"--texts {file}: it is not UTF-8", "save it as UTF-8, one text a line") from error
    if not MIN_TEXTS <= texts.lines <= MAX_TEXTS:
        raise UsageError(
            f"--texts {file}: it has {texts.lines} different texts",
            f"give {MIN_TEXTS} to {MAX_TEXTS} different texts, one a line",
        )
    return texts


def passages(lines: Sequence[str]) -> list[str]:
    """Return all lines once more, joined to passages of 3, 6 and 12 lines in turn."""
    joined, start = [], 0
    while start < len(lines):
        for count in _PASSAGE_LINES:
            if part := lines[start : start + count]:
                joined.append(" ".join(part))
            start += count
    return joined


def _read(file: Path) -> Texts:
    content = read_small_file(file)
    lines = [line.strip() for line in content.decode("utf-8-sig").splitlines()]
    lines = list(dict.fromkeys(line for line in lines if line))
    return Texts((*lines, *passages(lines)), len(lines), hashlib.sha256(content).hexdigest())
