"""Frames: templates of one meaning, and statements made from them.

A frame filled with one set of words is a meaning, and each of its templates expresses it. One corpus serves all four
models: a frame has a polarity, the slots are the entities, and two templates with one filling are paraphrases.
"""

import random
import re
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from tests.support.small_models.grammar import Noun, can_decline, contract, with_adjective
from tests.support.small_models.words import CORPUS, Name, Words

_EITHER: Final = re.compile(r"\(([^()|]*(?:\|[^()|]*)+)\)")
_NUMBER: Final = re.compile(r"\[([^\[\]|]*)\|([^\[\]|]*)\]")
_SLOT: Final = re.compile(r"\{([A-Z]+)(2?)(?:\.(nom|acc|dat|gen))?\}")
_NAMED: Final = re.compile(r"\{=([A-Z]+):([^}]*)\}")
# Marks of an entity while its sentence is built: code points of the private use area, which no text here contains.
_MARKED: Final = re.compile("\ue000([A-Z]+)\ue001([^\ue002]*)\ue002")
_AFTER_PREPOSITION: Final = re.compile(r"\b(bei|von|mit|zu|[Dd]ank|aus) Herr ")
_DEGREES: Final = (
    "",
    "",
    "sehr ",
    "wirklich ",
    "richtig ",
    "ziemlich ",
    "echt ",
    "so ",
    "ausgesprochen ",
    "einfach ",
)


@dataclass(frozen=True, slots=True)
class Frame:
    """Templates of one meaning. `adjectives`: polarity of the words for {ADJ}; `share`: relative frequency."""

    number: int
    polarity: str
    templates: tuple[str, ...]
    adjectives: str | None
    share: int

    @property
    def slots(self) -> frozenset[str]:
        return frozenset(match[1] + match[2] for line in self.templates for match in _SLOT.finditer(line))


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence. `entities`: (start, end, label) in code points; equal `meaning`: paraphrases of each other."""

    text: str
    polarity: str
    meaning: str
    entities: tuple[tuple[int, int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Filling:
    """The words for the slots of a frame."""

    values: dict[str, Noun | Name | str] = field(default_factory=dict)
    synonyms: tuple[str, ...] = ()

    def key(self) -> str:
        parts = [f"{slot}={value}" for slot, value in sorted(self.values.items())]
        return "|".join([*parts, *self.synonyms[:1]])


def load_frames() -> tuple[Frame, ...]:
    """Return the frames of frames.yaml, opinions.yaml and everyday.yaml, numbered in that order."""
    entries: list[dict[str, Any]] = []
    for name in ("frames.yaml", "opinions.yaml", "everyday.yaml"):
        entries += yaml.safe_load((CORPUS / name).read_text("utf-8"))
    return tuple(
        Frame(number, entry["polarity"], tuple(entry["says"]), entry.get("adjectives"), entry.get("share", 1))
        for number, entry in enumerate(entries)
    )


def draw_filling(frame: Frame, words: Words, rng: random.Random) -> Filling:
    """Draw random words for the slots of a frame."""
    filling = Filling(synonyms=rng.choice(words.adjectives[frame.adjectives]) if frame.adjectives else ())
    for slot in sorted(frame.slots):
        kind = slot.removesuffix("2")
        if kind in words.plain:
            filling.values[slot] = rng.choice(words.plain[kind])
        elif kind == "PER":
            filling.values[slot] = words.person(rng)
        elif kind == "LOC":
            filling.values[slot] = words.place(rng)
        elif kind in ("N", "ANG", "DING", "ORG", "MISC"):
            lists = (words.nouns, words.relatives, words.things, words.organizations, words.others)
            filling.values[slot] = rng.choice(lists[("N", "ANG", "DING", "ORG", "MISC").index(kind)])
        elif kind in ("EIN", "KEIN"):  # these slots also need a noun
            filling.values.setdefault("N", rng.choice(words.nouns))
    return filling


def can_render(line: str, filling: Filling) -> bool:
    """Return whether the filling has a word for each slot; some adjectives have no attributive form."""
    return "EIN." not in line or any(can_decline(word) for word in filling.synonyms)


def render(frame: Frame, line: str, filling: Filling, rng: random.Random) -> Statement:
    """Return the statement of one template of the frame with a filling."""
    line = _EITHER.sub(lambda match: rng.choice(match[1].split("|")), line)
    noun = filling.values.get("N")
    plural = isinstance(noun, Noun) and noun.is_plural
    line = _NUMBER.sub(lambda match: match[2] if plural else match[1], line)
    line = _NAMED.sub(lambda match: _mark(match[1], match[2]), line)
    marked = _SLOT.sub(lambda match: _fill(match, filling, rng), line)
    marked = _AFTER_PREPOSITION.sub(r"\1 Herrn ", contract(marked))
    marked = re.sub(" +", " ", marked).replace(" .", ".").replace(" ,", ",").strip()
    text, entities = _unmark(_capitalized(marked))
    return Statement(text, frame.polarity, f"{frame.number}|{filling.key()}", entities)


def _fill(match: re.Match[str], filling: Filling, rng: random.Random) -> str:
    slot, kind, case = match[1] + match[2], match[1], match[3] or "nom"
    value = filling.values.get("N" if kind in ("EIN", "KEIN") else slot)
    if kind == "SEHR":
        return "" if any(" " in word for word in filling.synonyms) else rng.choice(_DEGREES)
    if kind == "ADJ":
        return rng.choice(filling.synonyms)
    if isinstance(value, Name):
        return f"{value.before}{_mark('PER', value.name)}"
    if isinstance(value, str):
        return _mark("LOC", value) if kind == "LOC" else value
    if not isinstance(value, Noun):
        raise ValueError(f"nothing fills {match[0]}")
    if kind in ("EIN", "KEIN"):
        adjective = rng.choice([word for word in filling.synonyms if can_decline(word)])
        return with_adjective(value, adjective, case, kind.lower())
    if kind in ("ORG", "MISC"):
        return value.article(case) + _mark(kind, value.inflected(case))
    determiner = value.possessive(case) if kind == "ANG" else value.article(case)
    return determiner + value.inflected(case)


def _mark(label: str, text: str) -> str:
    return f"\ue000{label}\ue001{text}\ue002"


def _capitalized(marked: str) -> str:
    return marked if marked.startswith("\ue000") else marked[0].upper() + marked[1:]


def _unmark(marked: str) -> tuple[str, tuple[tuple[int, int, str], ...]]:
    text, entities, end = "", [], 0
    for match in _MARKED.finditer(marked):
        text += marked[end : match.start()]
        entities.append((len(text), len(text) + len(match[2]), match[1]))
        text, end = text + match[2], match.end()
    return text + marked[end:], tuple(entities)
