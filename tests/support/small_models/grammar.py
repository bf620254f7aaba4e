"""German inflection for the templates: articles, possessives, adjective endings, contractions.

With wrong cases, a model would be trained on wrong German.
"""

import re
from dataclasses import dataclass
from typing import Final

CASES: Final = ("nom", "acc", "dat", "gen")

_DEFINITE: Final = {
    "m": ("der", "den", "dem", "des"),
    "f": ("die", "die", "der", "der"),
    "n": ("das", "das", "dem", "des"),
    "p": ("die", "die", "den", "der"),
}
# Endings of "ein", "kein" and "mein"; "ein" has no plural.
_POSSESSIVE: Final = {
    "m": ("", "en", "em", "es"),
    "f": ("e", "e", "er", "er"),
    "n": ("", "", "em", "es"),
    "p": ("e", "e", "en", "er"),
}
_ADJECTIVE: Final = {
    "m": ("er", "en", "en", "en"),
    "f": ("e", "e", "en", "en"),
    "n": ("es", "es", "en", "en"),
    "p": ("en", "en", "en", "en"),
}
_ADJECTIVE_ALONE_PLURAL: Final = ("e", "e", "en", "er")
_NAMES_FIRST_ADJECTIVE: Final = ("Deutsche ", "Rote ")
_UNDECLINED: Final = frozenset({"super", "prima", "klasse", "spitze"})

_CONTRACTIONS: Final = {
    "bei dem": "beim",
    "von dem": "vom",
    "zu dem": "zum",
    "zu der": "zur",
    "in dem": "im",
    "an dem": "am",
    "auf das": "aufs",
}
_CONTRACTED: Final = re.compile(rf"\b({'|'.join(_CONTRACTIONS)})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun with its gender: m, f, n, p (plural), or "" for a name that takes no article."""

    word: str
    gender: str

    @classmethod
    def parse(cls, entry: str) -> "Noun":
        """Parse "f Arbeit" or, for a name without an article, "Siemens"."""
        gender, _, word = entry.partition(" ")
        return cls(word, gender) if gender in _DEFINITE and word else cls(entry, "")

    def inflected(self, case: str) -> str:
        """Return the bare noun: "Noten", "Vaters", "Deutschen Bahn" as the case requires."""
        if case in ("dat", "gen") and self.word.startswith(_NAMES_FIRST_ADJECTIVE):
            return self.word.replace("e ", "en ", 1)
        if case == "dat" and self.gender == "p" and self.word[-1] not in "ns":
            return self.word + "n"
        if case == "gen" and self.gender in ("m", "n") and self.word[-1] != "s":
            return self.word + "s"
        return self.word

    def article(self, case: str) -> str:
        """Return the definite article followed by a space; empty for a name without an article."""
        return f"{_DEFINITE[self.gender][CASES.index(case)]} " if self.gender else ""

    def possessive(self, case: str, stem: str = "mein") -> str:
        """Return the stem, as "mein" or "kein", in the noun's gender, followed by a space."""
        if stem == "ein" and self.gender == "p":
            return ""
        return f"{stem}{_POSSESSIVE[self.gender][CASES.index(case)]} "

    @property
    def is_plural(self) -> bool:
        return self.gender == "p"


def can_decline(adjective: str) -> bool:
    """Return whether an adjective has an attributive form: it is one word and takes an ending."""
    return " " not in adjective and adjective not in _UNDECLINED


def with_adjective(noun: Noun, adjective: str, case: str, stem: str) -> str:
    """Return a noun phrase such as "ein guter Arzt", "kein gutes Haus"; the plural of "ein" is "gute Noten"."""
    index = CASES.index(case)
    ending = _ADJECTIVE[noun.gender][index]
    if stem == "ein" and noun.is_plural:
        ending = _ADJECTIVE_ALONE_PLURAL[index]
    base = adjective.removesuffix("e")
    if base.endswith("euer"):
        base = base.removesuffix("er") + "r"
    return f"{noun.possessive(case, stem)}{base}{ending} {noun.inflected(case)}"


def contract(text: str) -> str:
    """Return the text with "bei dem" as "beim", and so on."""

    def short(match: re.Match[str]) -> str:
        word = _CONTRACTIONS[match[0].lower()]
        return word.capitalize() if match[0][0].isupper() else word

    return _CONTRACTED.sub(short, text)
