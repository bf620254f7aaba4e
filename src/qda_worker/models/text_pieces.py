"""Pieces of a long text that are cleaned and tokenized one by one, with the tokens of the whole text.

A tokenizer cannot be interrupted, and 15 MB take it ten seconds. So long texts are cut before blanks, and each piece is
a step of its own: other texts pass in between, and a cancelled text ends there.

The tokens of the pieces are those of the whole only if nothing that the tokenizer does reaches over the cut:

- Its pre-tokenizer must part words at that blank, because its model (WordPiece, Unigram, BPE) never looks beyond such a
  part. The cut is *before* the blank, because many vocabularies write the blank as the first character of a word.
- Its normalizer maps groups of characters that are displayed as one. A blank may be the first character of a group,
  but never the second one, unless the character before it attaches itself to its successor. Those characters exist in
  Arabic and Indic scripts only; `_is_plain` excludes them.
- A special token in the text may swallow the blanks around it. So no text is cut behind a bracket.

Which blanks a tokenizer allows is tested when it is loaded (`safe_blanks`).

No language has words of more than `MAX_PIECE_LENGTH` code points. Where there is no such blank for so long, the text is
cut before any blank, or else between two characters, and its tokens may differ from those of the whole there. Otherwise
15 MB without a blank would be a single step of half a minute, which nobody could cancel.
"""

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

# Length of a piece in code points. Tokenizing it takes about a hundredth of a second.
PIECE_LENGTH: Final = 2**14
# Greatest length of a piece, whatever the text.
MAX_PIECE_LENGTH: Final = 2**17
# How far a cut between two characters is moved back to keep combining marks with their letter.
_MAX_MARKS: Final = 32

# Blanks before which a text may be cut. Others are deleted by some normalizers, which joins the words around them.
_BLANKS: Final = (" ", "\n", "\t", "\r")
# What may stand before a cut, beside letters and digits.
_PUNCTUATION: Final = frozenset(".,;:!?…\"'“”„‘’»«)–-")
# What a blank may be followed by: a tokenizer treats some of it specially.
_FOLLOWERS: Final = (
    "Wort", "wort", "ß", " zwei", "\n drei", "\tvier", "\r\nfünf", "7", "…", "😀👍🏽", "\u0308u", "<mask> ja",
    "[SEP] ja", "</s>", "@otto #so", "中文", "\u00a0nein", "\u200b", "",
)  # fmt: skip
_LEADERS: Final = ("Haus", "gut.", "in Köln,", "1984", "😀", "schön!", '"ja"', "a", "  b")


def split_pieces(text: str, blanks: Sequence[str], length: int = PIECE_LENGTH) -> Iterator[str]:
    """Yield the pieces of a text: cut before one of the blanks, and of about `length` code points where there is one.

    No piece is longer than `MAX_PIECE_LENGTH`, or than `length` if that is greater.

    Args:
        text: the text; an empty one is one empty piece.
        blanks: as `safe_blanks` returned them, or a part of it.
        length: the greatest length of a piece that contains a place to cut.
    """
    start = 0
    max_length = max(MAX_PIECE_LENGTH, length)
    while len(text) - start > length:
        cut = _last_cut(text, start, start + length, blanks)
        if not cut:
            cut = _next_cut(text, start + length, min(len(text), start + max_length), blanks)
            if cut - start == max_length and cut < len(text):
                cut = _forced_cut(text, start, cut)
        yield text[start:cut]
        start = cut
    yield text[start:]


def safe_blanks(tokenizer: Any, encode: Callable[[str], Sequence[int]]) -> tuple[str, ...]:
    """Return the blanks before which a text may be cut without changing its tokens.

    Args:
        tokenizer: a transformers tokenizer.
        encode: returns the ids of a text, without special tokens.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    pre_tokenizer = getattr(backend, "pre_tokenizer", None)
    # Without one, or if it keeps several words together, the model may join words.
    if pre_tokenizer is None or len(pre_tokenizer.pre_tokenize_str("ein paar Worte")) < 3:
        return ()
    return tuple(blank for blank in _BLANKS if _is_safe(blank, encode))


def _is_safe(blank: str, encode: Callable[[str], Sequence[int]]) -> bool:
    return all(
        list(encode(leader + blank + follower)) == [*encode(leader), *encode(blank + follower)]
        for leader in _LEADERS
        for follower in _FOLLOWERS
    )


def _last_cut(text: str, start: int, end: int, blanks: Sequence[str]) -> int:
    """Return the last place to cut in start+1..end; 0 if there is none."""
    return max((_find_back(text, start + 1, end, blank) for blank in blanks), default=0)


def _find_back(text: str, start: int, end: int, blank: str) -> int:
    while (cut := text.rfind(blank, start, end)) > 0:
        if _is_plain(text[cut - 1]):
            return cut
        end = cut
    return 0


def _forced_cut(text: str, start: int, end: int) -> int:
    """Return a place in start+1..end where a text without a place to cut is cut."""
    cut = max(text.rfind(blank, start + 1, end) for blank in _BLANKS)
    if cut > 0:
        return cut
    cut = end
    while end - cut < _MAX_MARKS and unicodedata.combining(text[cut]):
        cut -= 1
    return cut


def _next_cut(text: str, start: int, end: int, blanks: Sequence[str]) -> int:
    """Return the first place to cut in start..end; `end` if there is none."""
    for blank in blanks:
        cut = text.find(blank, start, end)
        while cut > 0 and not _is_plain(text[cut - 1]):
            cut = text.find(blank, cut + 1, end)
        if cut > 0:
            end = cut
    return end


def _is_plain(character: str) -> bool:
    """Return whether a character certainly does not attach itself to the one behind it, and ends no special token."""
    if character in _PUNCTUATION:
        return True
    # Below U+0D00 no letter attaches itself; above, the scripts from U+1E00 to U+FFFF and emoji are free of them.
    if character < "\u0d00" or "\u1e00" <= character <= "\uffff":
        return character.isalnum()
    return "\U0001f000" <= character <= "\U0001faff"
