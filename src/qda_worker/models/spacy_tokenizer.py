"""spaCy's tokenizer in linear time for any text.

spaCy's tokenizer strips one prefix or suffix at a time from a word, and searches the whole rest of the word for each.
That is quadratic for words of punctuation only: 8 s for 5,000 brackets and a quarter of an hour for 50,000 (measured).
`limit_affix_searches` makes the searches look only where a match can be, with the same tokens. What is left is a copy
and a hash of the rest of the word for each sign, and a search for an address. So words of more than 5,000 code points,
which no text of a language with blanks has, are read in pieces of that length (`make_doc`).
"""

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

# Code points at the end of a word that are searched for a suffix.
_SUFFIX_SEARCH_LENGTH: Final = 64
# A suffix that begins within this many code points of the start of the searched part may be longer, or its rule may
# look at what is before. Then the whole word is searched.
_SUFFIX_MARGIN: Final = 24
# Longest word that is tokenized as a whole, in code points: 0.1 s for any 5,000.
_LONGEST_WORD: Final = 5_000
_WORD: Final = re.compile(r"\S++")

Search = Callable[[str], "re.Match[str] | None"]


def limit_affix_searches(tokenizer: Any) -> None:
    """Replace the affix searches of a spaCy tokenizer by faster ones with the same results.

    A prefix matches at the start of a word and a suffix at its end, so only those places are searched. A tokenizer with
    searches of another kind than spaCy's own stays unchanged.
    """
    prefix, suffix = (
        getattr(getattr(tokenizer, name, None), "__self__", None)
        for name in ("prefix_search", "suffix_search")
    )
    if isinstance(prefix, re.Pattern) and _is_anchored_at_start(prefix.pattern):
        tokenizer.prefix_search = prefix.match
    if isinstance(suffix, re.Pattern):
        tokenizer.suffix_search = _limited_suffix_search(suffix.search)


def make_doc(nlp: Any, text: str) -> Any:
    """Tokenize a text in linear time.

    Returns:
        The pipeline's own tokens, except that words of more than 5,000 code points are also divided every 5,000.
    """
    pieces = _divide_long_words(text)
    if len(pieces) == 1:
        return nlp.make_doc(text)
    from spacy.tokens import Doc

    return Doc.from_docs([nlp.make_doc(piece) for piece in pieces], ensure_whitespace=False)


def _divide_long_words(text: str) -> list[str]:
    """Return the text in pieces that have no longer word than _LONGEST_WORD; mostly the text itself."""
    if len(text) <= _LONGEST_WORD or max(map(len, text.split()), default=0) <= _LONGEST_WORD:
        return [text]
    cuts = [
        cut
        for word in _WORD.finditer(text)
        for cut in range(word.start() + _LONGEST_WORD, word.end(), _LONGEST_WORD)
    ]
    return [text[start:end] for start, end in pairwise([0, *cuts, len(text)])]


def _is_anchored_at_start(pattern: str) -> bool:
    """Return whether every alternative begins with `^`, as `spacy.util.compile_prefix_regex` writes them."""
    depth, in_class, escaped, at_start = 0, False, False, True
    for character in pattern:
        if at_start and character != "^":
            return False
        at_start = False
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif in_class:
            in_class = character != "]"
        elif character == "[":
            in_class = True
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == "|" and depth == 0:
            at_start = True
    return not at_start


def _limited_suffix_search(search: Search) -> Search:
    """Return the same search limited to the end of the word. The tokenizer reads only the length of the match."""

    def search_end(word: str) -> re.Match[str] | None:
        if len(word) <= _SUFFIX_SEARCH_LENGTH:
            return search(word)
        match = search(word[-_SUFFIX_SEARCH_LENGTH:])
        return search(word) if match is not None and match.start() < _SUFFIX_MARGIN else match

    return search_end
