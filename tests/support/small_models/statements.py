"""The corpus: groups of statements of one meaning, split into training and held-out groups.

A hash of the meaning decides whether it is held out, so no combination of frame and words is on both sides. Meanings of
frames without slots are all used for training, because they have one combination only.
"""

import hashlib
import random
from dataclasses import dataclass
from functools import cache
from typing import Final

import yaml

from tests.support.small_models.frames import (
    Filling,
    Frame,
    Statement,
    can_render,
    draw_filling,
    load_frames,
    render,
)
from tests.support.small_models.words import CORPUS, Words, load_words

MEANINGS_PER_SHARE: Final = 36
WAYS_PER_MEANING: Final = 3
_HELD_OUT_OF: Final = 8  # one meaning in eight

Group = tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Groups of paraphrases. `unseen`: held out, and with names that the training does not contain."""

    train: tuple[Group, ...]
    held_out: tuple[Group, ...]
    unseen: tuple[Group, ...]


@cache
def load_corpus(seed: int) -> Corpus:
    """Return the corpus of a seed, in a random but reproducible order."""
    seen = _groups(load_words("seen"), MEANINGS_PER_SHARE, seed)
    unseen = _groups(load_words("unseen"), 6, seed + 1)
    texts = {statement.text for group in seen if not _is_held_out(group) for statement in group}
    return Corpus(
        train=tuple(group for group in seen if not _is_held_out(group)),
        held_out=_without(tuple(group for group in seen if _is_held_out(group)), texts),
        unseen=_without(tuple(group for group in unseen if group[0].entities), texts),
    )


def load_exclamations() -> tuple[Statement, ...]:
    """Return short statements without templates."""
    lists: dict[str, list[str]] = yaml.safe_load((CORPUS / "exclamations.yaml").read_text("utf-8"))
    return tuple(Statement(text, polarity, text) for polarity, texts in lists.items() for text in texts)


def load_openers() -> tuple[str, ...]:
    """Return the phrases that may precede any statement."""
    openers: list[str] = yaml.safe_load((CORPUS / "openers.yaml").read_text("utf-8"))
    return tuple(openers)


def join_statements(first: Statement, second: Statement) -> Statement:
    """Join two statements. The polarity is the one that is not neutral; callers never join positive and negative."""
    shift = len(first.text) + 1
    moved = tuple((start + shift, end + shift, label) for start, end, label in second.entities)
    polarity = second.polarity if first.polarity == "neutral" else first.polarity
    meaning = f"{first.meaning} & {second.meaning}"
    return Statement(f"{first.text} {second.text}", polarity, meaning, first.entities + moved)


def add_emoji(statement: Statement, emoji: str) -> Statement:
    """Return the statement with an emoji before its final punctuation mark, or at its end."""
    text = statement.text
    moved = f"{text[:-1]} {emoji}{text[-1]}" if text.endswith((".", "!")) else f"{text} {emoji}"
    return Statement(moved, statement.polarity, statement.meaning, statement.entities)


def add_opener(opener: str, statement: Statement) -> Statement:
    """Return the statement after an opener; its first letter stays a capital only in names or after a colon."""
    text = statement.text
    is_name = bool(statement.entities) and statement.entities[0][0] == 0
    if opener.endswith(", ") and not is_name and text.split(" ")[0] in _LOWERED:
        text = text[0].lower() + text[1:]
    moved = tuple((start + len(opener), end + len(opener), label) for start, end, label in statement.entities)
    return Statement(opener + text, statement.polarity, statement.meaning, moved)


EMOJI: Final = ("😊", "😀", "🙂", "😡", "😢", "😕", "👍", "🎉", "❤️", "🎄", "👩‍🔬")

# First words that are not nouns, so that they are in lower case within a sentence.
_LOWERED: Final = frozenset(
    ("Der", "Die", "Das", "Dem", "Den", "Ich", "Wir", "Es", "Man", "Mein", "Meine", "Unser", "Unsere", "Ein",
     "Mit", "Von", "Bei", "In", "Im", "Am", "Um", "Für", "Auf", "Seit", "Vor", "Über", "Dass", "Leider")
)  # fmt: skip


def _groups(words: Words, per_share: int, seed: int) -> list[Group]:
    rng = random.Random(seed)
    groups: list[Group] = []
    for frame in load_frames():
        fillings: dict[str, Filling] = {}
        for _ in range(per_share * frame.share):
            filling = draw_filling(frame, words, rng)
            fillings[filling.key()] = filling
        groups += [_group(frame, filling, rng) for filling in fillings.values()]
    rng.shuffle(groups)
    return groups


def _group(frame: Frame, filling: Filling, rng: random.Random) -> Group:
    lines = [line for line in frame.templates if can_render(line, filling)]
    rng.shuffle(lines)
    # A frame without slots has one meaning: all its templates are used, several times.
    lines = lines[:WAYS_PER_MEANING] if frame.slots else lines * 3
    said = {statement.text: statement for statement in (render(frame, line, filling, rng) for line in lines)}
    return tuple(said.values())


def _is_held_out(group: Group) -> bool:
    meaning = group[0].meaning
    return not meaning.endswith("|") and hashlib.sha256(meaning.encode()).digest()[0] % _HELD_OUT_OF == 0


def _without(groups: tuple[Group, ...], texts: set[str]) -> tuple[Group, ...]:
    kept = (tuple(statement for statement in group if statement.text not in texts) for group in groups)
    return tuple(group for group in kept if group)
