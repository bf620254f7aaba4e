"""Windows are joined at borders of sentences that both have found, and consistently where they share none."""

from typing import Any, Final

import numpy as np

from model_cache.catalog.catalog import Precision, Task
from qda_worker.models.base import ModelInfo
from qda_worker.models.entity_windows import Window
from qda_worker.models.spacy_components import SyntaxLayer
from qda_worker.models.syntax import MARGIN, SyntaxOptions, TokenTable, join_windows
from qda_worker.models.token_columns import Column, Flag, Table
from qda_worker.sentences.span import Span

STRINGS: Final = ["", "L", "ROOT", "mo", "PER"]


def table(count: int, *, starts: tuple[int, ...] = (), root: int | None = None, first: int = 0) -> Table:
    """Return `count` words of one character with a space behind each, and heads to `root` of the sentence."""
    made = np.zeros((len(Column), count), np.int32)
    made[Column.START] = np.arange(count) * 2
    made[Column.LENGTH] = 1
    made[Column.FLAGS] = int(Flag.SPACE_AFTER)
    made[Column.LEMMA] = first
    for start in starts:
        made[Column.FLAGS, start] |= int(Flag.SENTENCE_START)
    if root is not None:
        made[Column.HEAD] = root - np.arange(count)
        made[Column.LABEL] = STRINGS.index("mo")
        made[Column.LABEL, root] = STRINGS.index("ROOT")
    return made


def join(left: Table, right: Table, *, overlap: int) -> tuple[Table, list[str]]:
    """Join two windows that share `overlap` words."""
    size, begin = left.shape[1], left.shape[1] - overlap
    border = (begin + overlap // 2) * 2
    end = (begin + right.shape[1]) * 2
    windows = [
        Window(Span(0, border), Span(0, size * 2)),
        Window(Span(border, end), Span(begin * 2, end)),
    ]
    return join_windows(windows, [left, right], [STRINGS, STRINGS])


def starts_of(joined: Table) -> list[int]:
    return np.flatnonzero(joined[Column.FLAGS] & int(Flag.SENTENCE_START)).tolist()


def test_the_layers_of_results_are_those_that_were_asked_for_or_all() -> None:
    layers = {SyntaxLayer.LEMMA: (), SyntaxLayer.ENTITIES: ()}
    info = ModelInfo("names", Task.ENTITIES, "de_x", "1", Precision.FP32, None, 100, syntax_layers=layers)
    assert SyntaxOptions().returned_layers(info) == (SyntaxLayer.LEMMA, SyntaxLayer.ENTITIES)
    asked = SyntaxOptions(layers=frozenset({SyntaxLayer.ENTITIES}))
    assert asked.returned_layers(info) == (SyntaxLayer.ENTITIES,)


def test_windows_are_joined_at_the_common_border_nearest_to_the_core() -> None:
    left = table(60, starts=(0, 25, 38, 50), first=1)
    right = table(60, starts=(3, 18, 30))  # in the text: 23, 38, 50
    joined, _ = join(left, right, overlap=40)
    assert joined[Column.START].tolist() == list(range(0, 160, 2))
    assert starts_of(joined) == [0, 25, 38, 50]
    assert np.flatnonzero(joined[Column.LEMMA] == 0)[0] == 38


def test_a_border_is_not_trusted_if_the_sentence_behind_it_differs() -> None:
    left = table(80, starts=(0, 54, 60, 66))
    right = table(80, starts=(24, 30, 36))  # in the text: 54, 60, 66
    left[Column.LEMMA, 57] = STRINGS.index("L")
    joined, _ = join(left, right, overlap=50)  # the core ends at 55
    assert joined[Column.START].tolist() == list(range(0, 220, 2))
    assert np.flatnonzero(joined[Column.LEMMA]).tolist() == [57]


def test_a_border_near_the_end_of_a_window_is_not_trusted() -> None:
    late = 60 - MARGIN
    joined, _ = join(table(60, starts=(0, late), first=1), table(60, starts=(0, late - 20)), overlap=40)
    assert starts_of(joined) == [0, 40, late]  # divided at the core, because no other border is common


def test_a_divided_sentence_has_one_root_in_each_part() -> None:
    joined, strings = join(table(60, starts=(0,), root=5), table(60, starts=(0,), root=55), overlap=40)
    heads = np.arange(80) + joined[Column.HEAD]
    labels = [strings[number] for number in joined[Column.LABEL]]
    assert starts_of(joined) == [0, 40]
    assert set(heads[:40]) == {5}
    assert set(heads[40:]) == {75}
    assert [number for number, label in enumerate(labels) if label == "ROOT"] == [5, 75]


def test_a_part_that_lost_its_root_gets_another() -> None:
    joined, strings = join(table(60, starts=(0,), root=55), table(60, starts=(0,), root=5), overlap=40)
    heads = np.arange(80) + joined[Column.HEAD]
    labels = [strings[number] for number in joined[Column.LABEL]]
    assert set(heads[:40]) == {0}
    assert set(heads[40:]) == {40}
    assert labels[:2] == ["ROOT", "dep"]
    assert labels[40:42] == ["ROOT", "dep"]


def test_windows_are_not_joined_inside_an_entity() -> None:
    left, right = table(60), table(60)
    for window, first in ((left, 39), (right, 19)):
        window[Column.FLAGS, first] |= int(Flag.ENTITY_BEGIN)
        window[Column.FLAGS, first + 1 : first + 3] |= int(Flag.ENTITY_INSIDE)
        window[Column.ENTITY, first : first + 3] = STRINGS.index("PER")
    joined, strings = join(left, right, overlap=40)
    assert [strings[number] for number in joined[Column.ENTITY, 38:43]] == ["", "PER", "PER", "PER", ""]


def test_a_word_across_windows_without_a_common_token_is_complete() -> None:
    left, right = table(1), table(1)
    left[Column.LENGTH] = right[Column.LENGTH] = 100
    windows = [Window(Span(0, 80), Span(0, 100)), Window(Span(80, 160), Span(60, 160))]
    joined, _ = join_windows(windows, [left, right], [STRINGS, STRINGS])
    assert joined[Column.START].tolist() == [0, 80]
    assert joined[Column.LENGTH].tolist() == [80, 80]
    assert not joined[Column.FLAGS, 0] & int(Flag.SPACE_AFTER)


def test_a_compact_table_keeps_the_strings_that_occur() -> None:
    whole: Any = table(4, first=4)
    strings = [*STRINGS, *map(str, range(1_000))]
    compact = TokenTable(whole[:, :2], strings, frozenset({SyntaxLayer.LEMMA})).compact()
    assert compact.strings == ("", "PER")
    assert compact.table[Column.LEMMA].tolist() == [1, 1]
    assert not np.shares_memory(compact.table, whole)
    assert not compact.table.flags.writeable
