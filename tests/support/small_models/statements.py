"""The corpus: groups of statements of one meaning, parted into training and held-out ones.

Whether a meaning is held out follows from its own hash, so no combination of frame and words is ever on both sides.
Meanings of frames without slots are all for training: there is no other combination of them to hold out.
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
    can_say,
    draw_filling,
    load_frames,
    say,
)
from tests.support.small_models.words import CORPUS, Words, load_words

MEANINGS_PER_SHARE: Final = 36
WAYS_PER_MEANING: Final = 3
_HELD_OUT_OF: Final = 8  # one meaning in so many

Group = tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Corpus:
    """Groups of paraphrases. `unseen`: like `held_out`, but every name in them is new too."""

    train: tuple[Group, ...]
    held_out: tuple[Group, ...]
    unseen: tuple[Group, ...]


@cache
def load_corpus(seed: int) -> Corpus:
    """Return the corpus of a seed, always the same; its order is random."""
    seen = _groups(load_words("seen"), MEANINGS_PER_SHARE, seed)
    unseen = _groups(load_words("unseen"), 6, seed + 1)
    texts = {statement.text for group in seen if not _is_held_out(group) for statement in group}
    return Corpus(
        train=tuple(group for group in seen if not _is_held_out(group)),
        held_out=_without(tuple(group for group in seen if _is_held_out(group)), texts),
        unseen=_without(tuple(group for group in unseen if group[0].entities), texts),
    )


def load_exclamations() -> tuple[Statement, ...]:
    """Short statements that stand for themselves."""
    lists: dict[str, list[str]] = yaml.safe_load((CORPUS / "exclamations.yaml").read_text("utf-8"))
    return tuple(Statement(text, polarity, text) for polarity, texts in lists.items() for text in texts)


def load_openers() -> tuple[str, ...]:
    """Return what may stand before any statement."""
    openers: list[str] = yaml.safe_load((CORPUS / "openers.yaml").read_text("utf-8"))
    return tuple(openers)


def joined(first: Statement, second: Statement) -> Statement:
    """Two statements in a row; the polarity is the one that is not neutral (callers join no praise with blame)."""
    shift = len(first.text) + 1
    moved = tuple((start + shift, end + shift, label) for start, end, label in second.entities)
    polarity = second.polarity if first.polarity == "neutral" else first.polarity
    meaning = f"{first.meaning} & {second.meaning}"
    return Statement(f"{first.text} {second.text}", polarity, meaning, first.entities + moved)


def with_emoji(statement: Statement, emoji: str) -> Statement:
    """Return the statement with an emoji before its last mark, as people write it, or behind it."""
    text = statement.text
    moved = f"{text[:-1]} {emoji}{text[-1]}" if text.endswith((".", "!")) else f"{text} {emoji}"
    return Statement(moved, statement.polarity, statement.meaning, statement.entities)


def opened(opener: str, statement: Statement) -> Statement:
    """Return the statement after an opener; its first letter stays a capital only in a name or after a colon."""
    text = statement.text
    is_name = bool(statement.entities) and statement.entities[0][0] == 0
    if opener.endswith(", ") and not is_name and text.split(" ")[0] in _LOWERED:
        text = text[0].lower() + text[1:]
    moved = tuple((start + len(opener), end + len(opener), label) for start, end, label in statement.entities)
    return Statement(opener + text, statement.polarity, statement.meaning, moved)


EMOJI: Final = ("😊", "😀", "🙂", "😡", "😢", "😕", "👍", "🎉", "❤️", "🎄", "👩‍🔬")

# First words that are no nouns, so that they lose the capital inside a sentence.
_LOWERED: Final = frozenset(
    ("Der", "Die", "Das", "Dem", "Den", "Ich", "Wir", "Es", "Man", "Mein", "Meine", "Unser", "Unsere", "Ein",
     "Mit", "Von", "Bei", "In", "Im", "Am", "Um", "Für", "Auf", "Seit", "Vor", "Über", "Dass", "Leider")
)  # fmt: skip


def _groups(words: Words, per_share: int, seed: int) -> list[Group]:
    draw = random.Random(seed)
    groups: list[Group] = []
    for frame in load_frames():
        fillings: dict[str, Filling] = {}
        for _ in range(per_share * frame.share):
            filling = draw_filling(frame, words, draw)
            fillings[filling.key()] = filling
        groups += [_group(frame, filling, draw) for filling in fillings.values()]
    draw.shuffle(groups)
    return groups


def _group(frame: Frame, filling: Filling, draw: random.Random) -> Group:
    lines = [line for line in frame.says if can_say(line, filling)]
    draw.shuffle(lines)
    # A meaning that comes up only once because nothing varies it is said in every way that its lines allow.
    lines = lines[:WAYS_PER_MEANING] if frame.slots else lines * 3
    said = {statement.text: statement for statement in (say(frame, line, filling, draw) for line in lines)}
    return tuple(said.values())


def _is_held_out(group: Group) -> bool:
    meaning = group[0].meaning
    return not meaning.endswith("|") and hashlib.sha256(meaning.encode()).digest()[0] % _HELD_OUT_OF == 0


def _without(groups: tuple[Group, ...], texts: set[str]) -> tuple[Group, ...]:
    kept = (tuple(statement for statement in group if statement.text not in texts) for group in groups)
    return tuple(group for group in kept if group)
