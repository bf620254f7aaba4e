"""The WordPiece vocabulary of the sentiment model, selected by frequency.

The trainer of `tokenizers` is not used, because it breaks ties by the order of a hash map: its result is not
reproducible.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final

SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzäöüß"
_COMMON: Final = 3  # minimum number of occurrences of a word that becomes a piece
_SHARED: Final = 5  # minimum number of distinct words that share a prefix or suffix that becomes a piece
_SHORTEST, _LONGEST = 2, 8  # length of such a piece


def word_pieces(texts: Iterable[str]) -> list[str]:
    """Return the lines of vocab.txt for lower-case texts: letters, common words, common parts of words."""
    counts = Counter(word for text in texts for word in text.split())
    shared: Counter[str] = Counter()
    for word in counts:
        for cut in range(1, len(word)):
            shared[word[:cut]] += _SHORTEST <= cut <= _LONGEST
            shared[f"##{word[cut:]}"] += _SHORTEST <= len(word) - cut <= _LONGEST
    pieces = {word for word, count in counts.items() if count >= _COMMON}
    pieces |= {piece for piece, words in shared.items() if words >= _SHARED}
    letters = [*_LETTERS, *(f"##{letter}" for letter in _LETTERS)]
    return [*SPECIAL, *letters, *sorted(pieces.difference(letters))]
