"""Border F1 of the rules on sentences, most of which were written without a look at them.

The few errors that are left in the file are known: they show what the rules cannot know without a dictionary.
"""

import re
from pathlib import Path
from typing import Final

from qda_worker.sentences.german_sentences import sentence_spans

FILE: Final = Path(__file__).parents[3] / "data" / "german_sentences.tsv"
MARK: Final = "¦"
ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\"}
LEAST_F1: Final = 0.98


def unescape(text: str) -> str:
    """Return the text with the characters that its escapes stand for."""
    return re.sub(
        r"\\(?:u([0-9a-fA-F]{4})|([nrt\\]))",
        lambda found: chr(int(found[1], 16)) if found[1] else ESCAPES[found[2]],
        text,
    )


def marked_texts() -> list[str]:
    """Return the texts of the file, with their marks."""
    lines = [line for line in FILE.read_text("utf-8").split("\n") if line and not line.startswith("# ")]
    texts = []
    for line in lines:
        count, marked = line.split("\t", 1)
        assert marked.count(MARK) + 1 == int(count), marked
        texts.append(unescape(marked))
    return texts


def borders(marked: str) -> set[int]:
    """Return the ends of the sentences, without the last one."""
    parts = marked.split(MARK)
    return {len("".join(parts[: number + 1])) for number in range(len(parts) - 1)}


def found_borders(text: str) -> set[int]:
    """Return the borders that the rules find."""
    return {span.end for span in sentence_spans(text)[:-1]}


def test_borders_of_texts_of_many_kinds_are_found() -> None:
    right = wrong = missed = 0
    errors = []
    for marked in marked_texts():
        expected, found = borders(marked), found_borders(marked.replace(MARK, ""))
        right += len(found & expected)
        wrong += len(found - expected)
        missed += len(expected - found)
        if found != expected:
            errors.append(marked)
    assert right > 500
    assert 2 * right / (2 * right + wrong + missed) >= LEAST_F1, errors
