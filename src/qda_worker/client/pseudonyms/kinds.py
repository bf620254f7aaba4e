"""The kinds of what is replaced, and the words of their placeholders. No I/O."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What a form is."""

    PERSON = "person"
    PLACE = "place"
    ORGANIZATION = "organization"
    EMAIL = "email"
    PHONE = "phone"
    IBAN = "iban"
    ADDRESS = "address"
    URL = "url"
    OTHER = "other"  # only in rows that people add


class Language(StrEnum):
    """The language of placeholders."""

    GERMAN = "de"
    ENGLISH = "en"


_WORDS: Final = {
    Kind.PERSON: ("Person", "Person"),
    Kind.PLACE: ("Ort", "Place"),
    Kind.ORGANIZATION: ("Organisation", "Organization"),
    Kind.EMAIL: ("E-Mail", "Email"),
    Kind.PHONE: ("Telefon", "Phone"),
    Kind.IBAN: ("IBAN", "IBAN"),
    Kind.ADDRESS: ("Adresse", "Address"),
    Kind.URL: ("Webadresse", "URL"),
    Kind.OTHER: ("Angabe", "Detail"),
}

# Labels of entities, by model and common ones; other labels are not proposed.
_KINDS: Final = {
    **dict.fromkeys(("PER", "PERSON"), Kind.PERSON),
    **dict.fromkeys(("LOC", "LOCATION", "GPE", "FAC"), Kind.PLACE),
    **dict.fromkeys(("ORG", "ORGANIZATION"), Kind.ORGANIZATION),
}

PLACEHOLDER: Final = re.compile(
    r"\[(?:" + "|".join(sorted({word for pair in _WORDS.values() for word in pair})) + r") [1-9]\d{0,6}\]"
)


def kind_of_label(label: str) -> Kind | None:
    """Return the kind of an entity; None if it is not replaced."""
    return _KINDS.get(label)


def kind_of_placeholder(placeholder: str) -> Kind:
    """Return what a placeholder stands for, by its word."""
    word = placeholder.strip("[]").rpartition(" ")[0]
    return next((kind for kind, words in _WORDS.items() if word in words), Kind.OTHER)


class Numbering:
    """Gives out placeholders that are not in use."""

    def __init__(self, language: Language, used: Iterable[str] = ()) -> None:
        """Begin with 1 for each kind; `used` are placeholders that the input has already."""
        self._language = language
        self._used = set(used)
        self._numbers: dict[str, int] = {}

    def next(self, kind: Kind) -> str:
        """Return the next placeholder of a kind."""
        word = _WORDS[kind][self._language is Language.ENGLISH]
        while True:
            self._numbers[word] = self._numbers.get(word, 0) + 1
            placeholder = f"[{word} {self._numbers[word]}]"
            if placeholder not in self._used:
                return placeholder
