"""The word lists of words.yaml, and random choices from them."""

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
    """A person: the title ("Frau "), and the name, which alone is the entity."""

    before: str
    name: str


@dataclass(frozen=True, slots=True)
class Words:
    """All word lists. `adjectives` are groups of synonyms, by polarity."""

    nouns: tuple[Noun, ...]
    relatives: tuple[Noun, ...]
    adjectives: Mapping[str, tuple[tuple[str, ...], ...]]
    plain: Mapping[str, tuple[str, ...]]
    things: tuple[Noun, ...]
    first_names: tuple[str, ...]
    last_names: tuple[str, ...]
    places: tuple[str, ...]
    organizations: tuple[Noun, ...]
    others: tuple[Noun, ...]
    syllables: Mapping[str, tuple[str, ...]]

    def last_name(self, rng: random.Random) -> str:
        """Draw from the list, or combine syllables in one of three cases, so that unknown names occur too."""
        if self.syllables and rng.random() < _INVENTED:
            return rng.choice(self.syllables["first"]) + rng.choice(self.syllables["last_of_person"])
        return rng.choice(self.last_names)

    def place(self, rng: random.Random) -> str:
        """Draw from the list, or combine syllables in one of three cases."""
        if self.syllables and rng.random() < _INVENTED:
            return rng.choice(self.syllables["first"]) + rng.choice(self.syllables["last_of_place"])
        return rng.choice(self.places)

    def person(self, rng: random.Random) -> Name:
        """Return a full name, a title with the last name, or the first name alone."""
        first, last = rng.choice(self.first_names), self.last_name(rng)
        forms = (
            Name("", f"{first} {last}"),
            Name("", f"{first} {last}"),
            Name("Frau ", last),
            Name("", first),
        )
        return rng.choice((*forms, Name("Herr ", last), Name("Frau Dr. ", last), Name("Dr. ", last)))


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
        organizations=_nouns(lists["organizations"][names]),
        others=_nouns(lists["others"][names]),
        # None for the unseen names, which are all from the lists.
        syllables={key: tuple(parts) for key, parts in lists["syllables"].items()} if names == "seen" else {},
    )


def _nouns(entries: list[str]) -> tuple[Noun, ...]:
    return tuple(Noun.parse(entry) for entry in entries)
