"""Find forms, as "Anna Müller", in a text: whole words, the longest form first, each place once. No I/O.

A form is looked up by its first word, so the time does not depend on the number of forms. Blanks in a form match any
blanks in the text, line ends included, except in tables, whose cells and rows they would join.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

# Combining accents belong to words, though Python's `\w` leaves them out: texts from a Mac may have them. An underscore
# does not, because it marks emphasis, as in "__Anna:__", and joins names, as in "anna_müller".
_LETTER: Final = "(?:[^\\W_]|[\u0300-\u036f])"
_WORD: Final = re.compile(f"{_LETTER}+")


class Markup(Enum):
    """How characters of a form may be written in a file."""

    NONE = "none"
    TABLE = "table"  # quotation marks doubled; blanks do not match tabs and line ends
    ENTITIES = "entities"  # & < > and quotation marks as in HTML (subtitles)


# What is around a form and not a part of it; a full stop, unless the word may be an abbreviation.
_AROUND: Final = ' \t"„“”»«‚‘›‹,;:!?()[]{}<>*_…–—-'
_FULL_STOP: Final = re.compile(r"[^\s.]{4,}\.\Z")

_ESCAPES: Final = {
    Markup.TABLE: {'"': '"{1,2}'},
    Markup.ENTITIES: {
        "&": "&(?:amp;)?",
        "<": "(?:<|&lt;)",
        ">": "(?:>|&gt;)",
        '"': '(?:"|&quot;)',
        "'": "(?:'|&#39;|&apos;)",
    },
}


@dataclass(frozen=True, slots=True)
class Occurrence:
    """A place of a form in a text."""

    start: int
    end: int
    form: str


class FormMatcher:
    """Finds any of some forms in texts."""

    def __init__(self, forms: Iterable[str], markup: Markup = Markup.NONE) -> None:
        """Create a matcher for forms, each with at least one letter or digit."""
        self._by_word: dict[str, list[tuple[int, re.Pattern[str], str]]] = {}
        for form in sorted(set(forms), key=lambda each: (-len(each), each)):
            first = _WORD.search(form)
            if first is None:
                raise ValueError(f"no letter or digit in {form!r}")
            pattern = _pattern(form, markup)
            self._by_word.setdefault(first[0], []).append((first.start(), pattern, form))

    def find(self, text: str) -> Iterator[Occurrence]:
        """Yield the places of the forms, in order; they do not overlap."""
        end = 0
        for word in _WORD.finditer(text):
            for before, pattern, form in self._by_word.get(word[0], ()):
                start = word.start() - before
                if start < end:
                    continue
                match = pattern.match(text, start)
                if match is not None:
                    yield Occurrence(start, match.end(), form)
                    end = match.end()
                    break


def has_word(form: str) -> bool:
    """Return whether a form has a letter or digit, without which it cannot be found."""
    return _WORD.search(form) is not None


def clean_form(text: str) -> str:
    """Return a form as it is listed: with single blanks, and without quotation marks and punctuation around it."""
    form = re.sub(r"\s+", " ", text).strip(_AROUND).rstrip("/")
    return form[:-1] if _FULL_STOP.search(form) else form


def _pattern(form: str, markup: Markup) -> re.Pattern[str]:
    escapes = _ESCAPES.get(markup, {})
    blank = r"[^\S\t\r\n]+" if markup is Markup.TABLE else r"\s+"
    pieces = [
        "".join(escapes.get(char) or re.escape(char) for char in piece) for piece in form.split() if piece
    ]
    after = f"(?!{_LETTER})" if _WORD.search(form[-1]) else ""
    return re.compile(blank.join(pieces) + after)
