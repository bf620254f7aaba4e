"""The cleaning equals the one published with the sentiment model, on any input."""

import re
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from qda_worker.models.sentiment import clean_german_sentiment

GERMAN_LETTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyzüöäÖÜÄß")
DIGITS: Final = ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")


def reference(text: str) -> str:
    """Apply the published rules by a second implementation, without regular expressions except for blanks."""

    def without(text: str, starts_here: str) -> str:
        kept, position = [], 0
        while position < len(text):
            end = position + (_word_begin(text, position, starts_here))
            if end > position:
                while end < len(text) and not _is_blank(text[end]):
                    end += 1
                position = end
            else:
                kept.append(text[position])
                position += 1
        return "".join(kept)

    text = without(text.replace("\n", " "), "http")
    text = without(text, "@")
    for digit, word in enumerate(DIGITS):
        text = text.replace(str(digit), f" {word}")
    text = "".join(character for character in text if character in GERMAN_LETTERS or character == " ")
    return " ".join(word for word in text.split(" ") if word).lower()


def _word_begin(text: str, position: int, start: str) -> int:
    """Return the length of `start` and one non-blank character if they are at `position`, else 0."""
    follows = position + len(start)
    if text.startswith(start, position) and follows < len(text) and not _is_blank(text[follows]):
        return len(start) + 1
    return 0


def _is_blank(character: str) -> bool:
    return re.fullmatch(r"\s", character) is not None


BITS: Final = [
    "http",
    "https://x.de/a?b=1",
    "htt",
    "@",
    "@otto",
    "mail@firma.de",
    "-",
    "'",
    "Ä",
    "42",
    "😀",
    "é",
    "u\u0308",
]
BLANKS: Final = [" ", "\n", "\t", "\r\n", "\u00a0", "\u2028", "\x1c", "\x85", "\x00"]
LOOKALIKES: Final = ["ẞ", "ß", "ſ", "İ", "٣", "²"]
PARTS: Final = st.sampled_from([*BITS, *BLANKS, *LOOKALIKES])
TEXTS: Final = st.lists(PARTS | st.text(max_size=4), max_size=12).map("".join)


@given(TEXTS)
@example("http")
@example("https")
@example("httpss http s")
@example("@@ @ @")
def test_cleaning_equals_a_second_implementation_of_the_rules(text: str) -> None:
    assert clean_german_sentiment(text) == reference(text)


@given(TEXTS)
def test_cleaning_is_idempotent(text: str) -> None:
    """Except for a word that begins with http only after the cleaning, such as "h-ttp"."""
    cleaned = clean_german_sentiment(text)
    if "http" not in cleaned:
        assert clean_german_sentiment(cleaned) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Der Test 42 war super!!! https://x.de/a?b=1 @otto", "der test vier zwei war super"),
        ("httpx ist toll", "ist toll"),
        ("mail@firma.de schrieb", "mail schrieb"),
        ("Zeile1\nZeile2\tTab", "zeile eins zeile zweitab"),
        ("10€", "eins null"),
        ("😀", ""),
        ("gru\u0308n", "grun"),
        ("Straße ẞ Übel", "straße übel"),
        ("", ""),
    ],
)
def test_known_effects_of_the_published_rules(text: str, cleaned: str) -> None:
    assert clean_german_sentiment(text) == cleaned
