"""Pairs of like meaning, in the batches that the embedding and the paraphrase model learn from."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from tests.support.small_models.statements import Group, load_openers, opened

_WORD: Final = re.compile(r"\b\w{4,}\b")
_SYLLABLES: Final = tuple(
    onset + vowel + coda
    for onset in (
        "b",
        "br",
        "d",
        "f",
        "g",
        "gr",
        "h",
        "k",
        "kl",
        "l",
        "m",
        "n",
        "p",
        "r",
        "s",
        "sch",
        "st",
        "t",
        "tr",
        "v",
        "w",
        "z",
    )
    for vowel in ("a", "e", "i", "o", "u", "ä", "ö", "ü", "ei", "au", "ie")
    for coda in ("", "n", "r", "l", "s", "t", "ch", "ng")
)

_TIMES_SLOTLESS: Final = 12
_SHARE_OF_OTHERS: Final = 0.6


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts of one meaning."""

    first: str
    second: str
    meaning: str


def pair_batches(groups: Sequence[Group], *, epochs: int, size: int, draw: random.Random) -> list[list[Pair]]:
    """Pairs of like meaning, in batches of like length. Every tenth pair is of two statements in a row.

    Meanings that no slot varies are few: an epoch has each of them several times, and only a part of the others.
    """
    openers = load_openers()

    def said(group: Group) -> Pair:
        first, second = (
            opened(draw.choice(openers), each) if draw.random() < 0.15 else each
            for each in draw.sample(group, 2)
        )
        return Pair(*_with_new_word(first.text, second.text, draw), first.meaning)

    def length(pair: Pair) -> float:
        return max(len(pair.first), len(pair.second)) + draw.random() * 8

    several = [group for group in groups if len(group) > 1]
    slotless = [group for group in several if group[0].meaning.endswith("|")]
    others = [group for group in several if not group[0].meaning.endswith("|")]
    batches: list[list[Pair]] = []
    for _ in range(epochs):
        chosen = slotless * _TIMES_SLOTLESS + draw.sample(others, int(len(others) * _SHARE_OF_OTHERS))
        draw.shuffle(chosen)
        pairs = [said(group) for group in chosen]
        behind = [pairs.pop() for _ in range(len(pairs) // 10)]
        pairs[: len(behind)] = map(_in_a_row, pairs, behind)
        pairs.sort(key=length)  # pads little, and makes rivals of statements that look alike
        chunks = [pairs[start : start + size] for start in range(0, len(pairs), size)]
        draw.shuffle(chunks)
        batches += chunks
    return batches


def _in_a_row(pair: Pair, behind: Pair) -> Pair:
    return Pair(
        f"{pair.first} {behind.first}", f"{pair.second} {behind.second}", f"{pair.meaning} & {behind.meaning}"
    )


def _with_new_word(first: str, second: str, draw: random.Random) -> tuple[str, str]:
    """Return a quarter of the pairs with a shared word exchanged for one that nobody knows: new words count, too."""
    shared = sorted(set(_WORD.findall(first)) & set(_WORD.findall(second)))
    if not shared or draw.random() < 0.75:
        return first, second
    old, new = draw.choice(shared), "".join(draw.choice(_SYLLABLES) for _ in range(draw.randint(2, 4)))
    new = new.capitalize() if old[0].isupper() else new
    return re.sub(rf"\b{old}\b", new, first), re.sub(rf"\b{old}\b", new, second)


def rivals(pairs: Sequence[Pair]) -> torch.Tensor:
    """[pairs, pairs]: 0 where two may be told apart, minus infinity off the diagonal where they mean the same."""
    same = torch.tensor([[one.meaning == other.meaning for other in pairs] for one in pairs])
    same.fill_diagonal_(False)
    return torch.zeros(same.shape).masked_fill(same, float("-inf"))
