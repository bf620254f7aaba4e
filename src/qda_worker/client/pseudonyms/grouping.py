"""Decide which forms mean the same, and get the same placeholder. No I/O.

Forms are grouped only where the rule is safe: a genitive ("Müllers") with its base form, upper case with lower case, a
single name ("Müller", "Anna") with the only full name that has it. A single name that several full names share gets a
placeholder of its own, and people decide in the review list.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from qda_worker.client.pseudonyms.kinds import Kind

_TITLES: Final = frozenset({
    "herr", "herrn", "frau", "fräulein", "familie", "dr", "prof", "professor", "professorin", "doktor", "doktorin",
    "mr", "mrs", "ms", "miss", "sir", "onkel", "tante", "oma", "opa", "dipl", "med", "phil", "ing", "hr", "fr",
})  # fmt: skip
_NAMES: Final = (Kind.PERSON, Kind.PLACE, Kind.ORGANIZATION)
_APOSTROPHES: Final = ("'s", "’s", "'", "’")
# Words within names that do not identify on their own.
_PARTICLES: Final = frozenset(
    {"von", "van", "der", "den", "de", "zu", "zur", "zum", "di", "da", "el", "al", "und"}
)
_MIN_PART: Final = 3


def without_title(form: str) -> str:
    """Return a person's name without title and form of address; they stay in the text. Empty if nothing is left."""
    words = form.split()
    while words and words[0].rstrip(".").casefold() in _TITLES:
        words.pop(0)
    return " ".join(words)


def derived_forms(kind: Kind, form: str) -> Iterator[str]:
    """Yield forms that mean the same and that a model may have missed: genitives, capitals, parts of a full name."""
    if kind not in _NAMES:
        return
    yield from (form + ending for ending in ("s", *_APOSTROPHES))
    yield form.upper()
    if kind is not Kind.PERSON:
        return
    words = form.split()
    for word in words if len(words) > 1 else ():
        if (
            len(word) >= _MIN_PART
            and word[0].isupper()
            and word.casefold() not in _PARTICLES
            and not _is_short(word)
        ):
            yield word
            yield from (word + ending for ending in ("s", *_APOSTROPHES))


@dataclass(frozen=True, slots=True)
class Group:
    """Forms that mean the same.

    Attributes:
        kind: what they are.
        forms: in the order in which they were given.
    """

    kind: Kind
    forms: tuple[str, ...]


def group_forms(forms: Mapping[str, Kind]) -> list[Group]:
    """Return groups of forms, in the order of their first ones."""
    groups: dict[tuple[Kind, tuple[str, ...]], list[str]] = {}
    for kind in Kind:
        own = [form for form, its in forms.items() if its is kind]
        keys = _name_keys(own, is_person=kind is Kind.PERSON) if kind in _NAMES else _number_keys(own, kind)
        for form, key in zip(own, keys, strict=True):
            groups.setdefault((kind, key), []).append(form)
    order = {form: position for position, form in enumerate(forms)}
    made = [Group(kind, tuple(members)) for (kind, _), members in groups.items()]
    return sorted(made, key=lambda group: min(order[form] for form in group.forms))


def _number_keys(forms: Sequence[str], kind: Kind) -> list[tuple[str, ...]]:
    """Return a key for each form that is equal for different notations of one number or address."""
    if kind in (Kind.PHONE, Kind.IBAN):
        return [(_phone_digits(form) if kind is Kind.PHONE else re.sub(r"\s", "", form),) for form in forms]
    return [(form.casefold(),) for form in forms]


def _phone_digits(form: str) -> str:
    digits = re.sub(r"\D", "", form.replace("(0)", ""))
    if form.lstrip("( ").startswith("+"):
        return digits
    return digits[2:] if digits.startswith("00") else "49" + digits.removeprefix("0")


def _name_keys(forms: Sequence[str], *, is_person: bool) -> list[tuple[str, ...]]:
    """Return a key for each name that is equal for forms that mean the same."""
    words = [tuple(_normal(word) for word in form.split()) for form in forms]
    known = {word for name in words for word in name}
    based = [(*name[:-1], _base_form(name[-1], known)) for name in words]
    if not is_person:
        return based
    full = _FullNames(based)
    return [full.of(name) for name in based]


class _FullNames:
    """The names of several words, by their words, and by their first and last one."""

    def __init__(self, names: Iterable[tuple[str, ...]]) -> None:
        self._by_word: dict[str, list[tuple[str, ...]]] = {}
        self._by_ends: dict[tuple[str, str], list[tuple[str, ...]]] = {}
        for name in sorted({name for name in names if len(name) > 1}):
            for word in set(name):
                self._by_word.setdefault(word, []).append(name)
            self._by_ends.setdefault((name[0], name[-1]), []).append(name)
        self._of: dict[tuple[str, ...], tuple[str, ...]] = {}

    def of(self, name: tuple[str, ...]) -> tuple[str, ...]:
        """Return the only full name of which a name is a part; itself if there is none, or several."""
        if name not in self._of:
            self._of[name] = self._find(name)
        return self._of[name]

    def _find(self, name: tuple[str, ...]) -> tuple[str, ...]:
        same = self._by_word.get(name[0], ()) if len(name) == 1 else self._by_ends[name[0], name[-1]]
        longer = [other for other in same if len(other) > len(name)]
        # A longer form of the same name, with its first and last word, is no other person.
        longest: dict[tuple[str, str], int] = {}
        for other in longer:
            ends = other[0], other[-1]
            longest[ends] = max(longest.get(ends, 0), len(other))
        tops = [other for other in longer if len(other) == longest[other[0], other[-1]]]
        return tops[0] if len(tops) == 1 else name


def _base_form(word: str, known: set[str]) -> str:
    """Return the nominative of a genitive, if it is marked by an apostrophe or the nominative is known."""
    for ending in _APOSTROPHES:
        if word.endswith(ending):
            return word.removesuffix(ending)
    return word[:-1] if word.endswith("s") and word[:-1] in known else word


def _normal(word: str) -> str:
    return unicodedata.normalize("NFC", word).casefold()


def _is_short(word: str) -> bool:
    """Return whether a word is an abbreviation, as an initial."""
    return word.endswith(".")
