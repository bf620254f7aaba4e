"""Pairs of paraphrases, in batches for the training of the embedding and the paraphrase model."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch

from tests.support.small_models.statements import Group, add_opener, load_openers

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
    """Two texts with the same meaning."""

    first: str
    second: str
    meaning: str


def pair_batches(groups: Sequence[Group], *, epochs: int, size: int, rng: random.Random) -> list[list[Pair]]:
    """Return pairs of paraphrases in batches of similar length. Every tenth pair is made of two statements each.

    Meanings without slots are few, so an epoch has each of them several times, and only a sample of the others.
    """
    openers = load_openers()

    def said(group: Group) -> Pair:
        first, second = (
            add_opener(rng.choice(openers), each) if rng.random() < 0.15 else each
            for each in rng.sample(group, 2)
        )
        return Pair(*_with_new_word(first.text, second.text, rng), first.meaning)

    def length(pair: Pair) -> float:
        return max(len(pair.first), len(pair.second)) + rng.random() * 8

    several = [group for group in groups if len(group) > 1]
    slotless = [group for group in several if group[0].meaning.endswith("|")]
    others = [group for group in several if not group[0].meaning.endswith("|")]
    batches: list[list[Pair]] = []
    for _ in range(epochs):
        chosen = slotless * _TIMES_SLOTLESS + rng.sample(others, int(len(others) * _SHARE_OF_OTHERS))
        rng.shuffle(chosen)
        pairs = [said(group) for group in chosen]
        behind = [pairs.pop() for _ in range(len(pairs) // 10)]
        pairs[: len(behind)] = map(_join_pairs, pairs, behind)
        pairs.sort(key=length)  # little padding, and similar statements become negatives of each other
        chunks = [pairs[start : start + size] for start in range(0, len(pairs), size)]
        rng.shuffle(chunks)
        batches += chunks
    return batches


def _join_pairs(pair: Pair, behind: Pair) -> Pair:
    return Pair(
        f"{pair.first} {behind.first}", f"{pair.second} {behind.second}", f"{pair.meaning} & {behind.meaning}"
    )


def _with_new_word(first: str, second: str, rng: random.Random) -> tuple[str, str]:
    """Replace, in a quarter of the calls, a word that both texts share by an invented one."""
    shared = sorted(set(_WORD.findall(first)) & set(_WORD.findall(second)))
    if not shared or rng.random() < 0.75:
        return first, second
    old, new = rng.choice(shared), "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 4)))
    new = new.capitalize() if old[0].isupper() else new
    return re.sub(rf"\b{old}\b", new, first), re.sub(rf"\b{old}\b", new, second)


def paraphrase_mask(pairs: Sequence[Pair]) -> torch.Tensor:
    """Return a mask [pairs, pairs]: minus infinity where two different pairs have the same meaning, 0 elsewhere."""
    same = torch.tensor([[one.meaning == other.meaning for other in pairs] for one in pairs])
    same.fill_diagonal_(False)
    return torch.zeros(same.shape).masked_fill(same, float("-inf"))
