"""The text cleaning that `german-sentiment-bert` was trained with.

The model card demands that "all model inputs needs to be preprocessed with the same procedure, that was applied during
the training". The rules are those published with the package `germansentiment` 1.1.0, in its order, oddities included:
the URL rule eats every word that begins with "http", and characters outside the German alphabet are deleted, not
replaced by a space, so that words around a tab or a no-break space join.
"""

from __future__ import annotations

import re

_URL = re.compile(r"https*\S+")
_MENTION = re.compile(r"@\S+")
_NOT_GERMAN_LETTER_OR_SPACE = re.compile(r"[^A-Za-züöäÖÜÄß ]")
_DIGIT_WORDS = str.maketrans(
    {
        "0": " null",
        "1": " eins",
        "2": " zwei",
        "3": " drei",
        "4": " vier",
        "5": " fünf",
        "6": " sechs",
        "7": " sieben",
        "8": " acht",
        "9": " neun",
    }
)


def clean_german_sentiment(text: str) -> str:
    """The text as the model saw its training texts: German letters in lower case, single spaces, digits as words.

    Any text is allowed; one of nothing but emoji or punctuation becomes the empty string.
    """
    text = text.replace("\n", " ")
    text = _URL.sub("", text)
    text = _MENTION.sub("", text)
    text = text.translate(_DIGIT_WORDS)
    text = _NOT_GERMAN_LETTER_OR_SPACE.sub("", text)
    return " ".join(text.split()).lower()
