"""The tokens of a text, and how those of its windows are joined.

A long text is read in windows (`entity_windows.split_windows`), each with context before and after its core. What
spaCy finds at a place depends on a few words around it (`MARGIN`), and a parser also depends on what it did before:
at a border of sentences it usually begins again, but it may set the border only after it has read on, and its state
there may differ between two windows. So two neighbouring windows are joined at the border nearest to the end of the
core where both of them have found the same: the border, all of the sentence behind it and the border after that,
outside of entities and away from their own ends. The joined tokens are then those of the whole text. Without a
parser, any token that both have is such a place.

If the windows share no such border, one that both have found is the next best. If they share none, a sentence has no
border for about a thousand code points there. It is then divided at the nearest common token, and heads across that
place are replaced (`_cut_sentence`). A word that is longer than the context is divided at the end of the core.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from qda_worker.models.base import ModelInfo, Options
from qda_worker.models.entity_windows import Window
from qda_worker.models.spacy_components import SyntaxLayer
from qda_worker.models.token_columns import STRING_COLUMNS, Column, Flag, Table

# Tokens at the end of a window that is not an end of the text whose results may depend on what is beyond: the receptive
# field of spaCy's networks is four words, and a parser or ner looks two words ahead.
MARGIN: Final = 8

# Labels of heads where a sentence is divided: of its root, and of other tokens that lost their heads.
_ROOT: Final = "ROOT"
_LOST_HEAD: Final = "dep"


@dataclass(frozen=True, slots=True)
class SyntaxOptions(Options):
    """Options of a caller for the tokens of one text.

    Attributes:
        layers: layers to return; empty for all of the model.
    """

    layers: frozenset[SyntaxLayer] = frozenset()

    def returned_layers(self, info: ModelInfo) -> tuple[SyntaxLayer, ...]:
        """Return the layers of the results: those that were asked for, or all of the model."""
        return tuple(layer for layer in info.syntax_layers if not self.layers or layer in self.layers)


@dataclass(frozen=True, slots=True, eq=False)  # arrays do not compare to one truth value
class TokenTable:
    """The tokens of a text.

    Attributes:
        table: int32 [columns, tokens], see `token_columns`; positions in code points of the text.
        strings: those of the table. Several texts may share them, so some may not occur here.
        layers: layers that the table has.
    """

    table: Table
    strings: Sequence[str]
    layers: frozenset[SyntaxLayer]

    def compact(self) -> "TokenTable":
        """Return a table of its own memory, with those strings only that occur in it."""
        columns = list(STRING_COLUMNS)
        used, places = np.unique(np.concatenate([[0], self.table[columns].ravel()]), return_inverse=True)
        table = self.table.copy()
        table[columns] = places[1:].reshape(len(columns), -1)
        table.flags.writeable = False
        return TokenTable(table, tuple(self.strings[number] for number in used.tolist()), self.layers)


def join_windows(
    windows: Sequence[Window], tables: Sequence[Table], strings: Sequence[Sequence[str]]
) -> tuple[Table, list[str]]:
    """Return the tokens of a whole text.

    Args:
        windows: as `split_windows` returned them.
        tables: the tokens of each window, with positions in its extent.
        strings: those of each table.

    Returns:
        int32 [columns, tokens] with positions in the text, and its strings.
    """
    moved, joined_strings = _share_strings(windows, tables, strings)
    parsed = any((table[Column.FLAGS] & int(Flag.SENTENCE_START)).any() for table in tables)
    parts: list[Table] = []
    begin = 0
    for number, (window, table) in enumerate(zip(windows, moved, strict=True)):
        end, next_begin = table.shape[1], 0
        if number < len(windows) - 1:
            place = window.core.end
            end, next_begin, clean = _joint(table, moved[number + 1], place, parsed=parsed)
            if not clean:
                _divide(
                    table, moved[number + 1], begin, end, next_begin, place, joined_strings, parsed=parsed
                )
        parts.append(table[:, begin:end])
        begin = next_begin
    return np.concatenate(parts, axis=1), joined_strings


def _share_strings(
    windows: Sequence[Window], tables: Sequence[Table], strings: Sequence[Sequence[str]]
) -> tuple[list[Table], list[str]]:
    """Return copies of the tables with positions in the text, and with one table of strings."""
    numbers: dict[str, int] = {"": 0}
    moved = []
    columns = list(STRING_COLUMNS)
    renumbered: dict[int, NDArray[np.int32]] = {}
    for window, table, of_table in zip(windows, tables, strings, strict=True):
        key = id(of_table)  # the windows of one batch share their strings
        if key not in renumbered:
            renumbered[key] = np.array(
                [numbers.setdefault(text, len(numbers)) for text in of_table], np.int32
            )
        copy = table.copy()
        copy[Column.START] += window.extent.start
        copy[columns] = renumbered[key][table[columns]]
        moved.append(copy)
    return moved, list(numbers)


def _joint(left: Table, right: Table, place: int, *, parsed: bool) -> tuple[int, int, bool]:
    """Return where two tables are joined: the end of the left one, the begin of the right one, and whether as a border.

    Args:
        left: tokens of a window.
        right: tokens of the next one.
        place: where the core of the left one ends.
        parsed: whether a joint has to be a border of sentences.
    """
    common, in_left, in_right = np.intersect1d(
        left[Column.START], right[Column.START], assume_unique=True, return_indices=True
    )
    same = left[Column.LENGTH, in_left] == right[Column.LENGTH, in_right]
    far = (in_left < left.shape[1] - MARGIN) & (in_right >= MARGIN)
    flags = left[Column.FLAGS, in_left] & right[Column.FLAGS, in_right]
    inside = (left[Column.FLAGS, in_left] | right[Column.FLAGS, in_right]) & int(Flag.ENTITY_INSIDE)
    clean = same & far & (inside == 0)
    if parsed:
        clean &= (flags & int(Flag.SENTENCE_START)) != 0
    agreed = clean.copy()
    if parsed:
        for each in np.flatnonzero(clean):
            agreed[each] = _agree(left[:, in_left[each] :], right[:, in_right[each] :])
    for usable in (agreed, clean, same & far, same):
        if usable.any():
            places = np.flatnonzero(usable)
            nearest = int(places[np.abs(common[places] - place).argmin()])
            return int(in_left[nearest]), int(in_right[nearest]), usable is agreed or usable is clean
    end = int(np.searchsorted(left[Column.START], place))
    begin = int(np.searchsorted(right[Column.START], place))
    return end, min(begin, right.shape[1] - 1), False


def _agree(left: Table, right: Table) -> bool:
    """Return whether two windows have found the same from a border of sentences to the next one, with its token."""
    following = np.flatnonzero(right[Column.FLAGS, 1:] & int(Flag.SENTENCE_START))
    if not len(following):
        return False
    end = int(following[0]) + 2
    return end <= left.shape[1] - MARGIN and bool((left[:, :end] == right[:, :end]).all())


def _divide(
    left: Table,
    right: Table,
    begin: int,
    end: int,
    right_begin: int,
    place: int,
    strings: list[str],
    *,
    parsed: bool,
) -> None:
    """Make the joint of two tables consistent where it is no border of sentences."""
    cut = place - right[Column.START, right_begin]
    if (
        right_begin == right.shape[1] - 1 and cut > 0
    ):  # one word in the rest of the right window, from before the joint
        right[Column.START, right_begin] += cut
        right[Column.LENGTH, right_begin] -= cut
    if end > begin:
        # A word across the joint ends where the next token starts.
        room = right[Column.START, right_begin] - left[Column.START, end - 1]
        spaced = bool(left[Column.FLAGS, end - 1] & int(Flag.SPACE_AFTER))
        if left[Column.LENGTH, end - 1] + spaced != room:
            left[Column.LENGTH, end - 1] = room
            left[Column.FLAGS, end - 1] &= ~int(Flag.SPACE_AFTER)
    flags = right[Column.FLAGS]
    if flags[right_begin] & int(Flag.ENTITY_INSIDE):
        flags[right_begin] += int(Flag.ENTITY_BEGIN) - int(Flag.ENTITY_INSIDE)
    if not parsed:
        return
    flags[right_begin] |= int(Flag.SENTENCE_START)
    starts = np.flatnonzero(left[Column.FLAGS, :end] & int(Flag.SENTENCE_START))
    _cut_sentence(left, max(begin, int(starts[-1]) if len(starts) else 0), end, strings)
    following = np.flatnonzero(flags[right_begin + 1 :] & int(Flag.SENTENCE_START))
    stop = right_begin + 1 + int(following[0]) if len(following) else right.shape[1]
    _cut_sentence(right, right_begin, stop, strings)


def _cut_sentence(table: Table, start: int, end: int, strings: list[str]) -> None:
    """Let no head of a part of a sentence be outside of it, and give the part one root.

    The root is the sentence's own if the part has it, otherwise the first token whose head is outside. The other such
    tokens depend on the root.
    """
    if not table[Column.LABEL, start:end].any():
        return  # dependencies were not asked for
    heads = np.arange(start, end) + table[Column.HEAD, start:end]
    lost = np.flatnonzero((heads < start) | (heads >= end)) + start
    if not len(lost):
        return
    roots = np.flatnonzero(table[Column.HEAD, start:end] == 0) + start
    root = int(roots[0]) if len(roots) else int(lost[0])
    table[Column.HEAD, lost] = root - lost
    table[Column.LABEL, lost] = _string(strings, _LOST_HEAD)
    if not len(roots):
        table[Column.LABEL, root] = _string(strings, _ROOT)


def _string(strings: list[str], text: str) -> int:
    if text not in strings:
        strings.append(text)
    return strings.index(text)
