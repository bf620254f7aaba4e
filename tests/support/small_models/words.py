"""The words of words.yaml, and the draw of one filling for a template's slots."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.small_models.grammar import Noun

CORPUS: Final = Path(__file__).parent / "corpus"

_INVENTED: Final = 1 / 3


@dataclass(frozen=True, slots=True)
class Name:
    """A person as spoken of: what stands before the name ("Frau "), and the name, which alone is the entity."""

    before: str
    name: str


@dataclass(frozen=True, slots=True)
class Words:
    """All word lists. `times` follow "seit"; `adjectives` are lines of words of one meaning, by polarity."""

    nouns: tuple[Noun, ...]
    relatives: tuple[Noun, ...]
    adjectives: Mapping[str, tuple[tuple[str, ...], ...]]
    plain: Mapping[str, tuple[str, ...]]
    things: tuple[Noun, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    places: tuple[str, ...]
    organisations: tuple[Noun, ...]
    others: tuple[Noun, ...]
    syllables: Mapping[str, tuple[str, ...]]

    def last_name(self, draw: random.Random) -> str:
        """From the list, or one in three times put together: who knows names by heart alone finds no new one."""
        if self.syllables and draw.random() < _INVENTED:
            return draw.choice(self.syllables["first"]) + draw.choice(self.syllables["last_of_person"])
        return draw.choice(self.last_names)

    def place(self, draw: random.Random) -> str:
        """From the list, or one in three times put together."""
        if self.syllables and draw.random() < _INVENTED:
            return draw.choice(self.syllables["first"]) + draw.choice(self.syllables["last_of_place"])
        return draw.choice(self.places)

    def person(self, draw: random.Random) -> Name:
        """Return a full name more often than not, else a title with the last name, or the first name alone."""
        first, last = draw.choice(self.first_names), self.last_name(draw)
        forms = (
            Name("", f"{first} {last}"),
            Name("", f"{first} {last}"),
            Name("Frau ", last),
            Name("", first),
        )
        return draw.choice((*forms, Name("Herr ", last), Name("Frau Dr. ", last), Name("Dr. ", last)))


@cache
def load_words(names: str = "seen") -> Words:
    """Return the name lists of one kind: "seen" in training, or "unseen"."""
    lists: dict[str, Any] = yaml.safe_load((CORPUS / "words.yaml").read_text("utf-8"))
    return Words(
        nouns=_nouns([entry for topic in lists["nouns"].values() for entry in topic]),
        relatives=_nouns(lists["relatives"]),
        adjectives={
            polarity: tuple(tuple(line) for line in lines) for polarity, lines in lists["adjectives"].items()
        },
        plain={
            "ZEIT": tuple(lists["times"]),
            "UHR": tuple(lists["clocks"]),
            "TAG": tuple(lists["days"]),
            "ZAHL": tuple(lists["numbers"]),
            "JAHR": tuple(lists["years"]),
            "BERUF": tuple(lists["jobs"]),
        },
        things=_nouns(lists["things"]),
        first_names=tuple(lists["first_names"][names]),
        last_names=tuple(lists["last_names"][names]),
        places=tuple(lists["places"][names]),
        organisations=_nouns(lists["organisations"][names]),
        others=_nouns(lists["others"][names]),
        # None for the unseen names, which are real ones.
        syllables={key: tuple(parts) for key, parts in lists["syllables"].items()} if names == "seen" else {},
    )


def _nouns(entries: list[str]) -> tuple[Noun, ...]:
    return tuple(Noun.parse(entry) for entry in entries)
