"""Makes spaCy's tokenizer fit for words of nothing but signs, such as a row of 50,000 emoji or brackets.

The tokenizer takes one prefix or suffix off a word at a time and looks for the next in all that is left: for a row of
5,000 brackets 8 s, for 50,000 a quarter of an hour (measured), in which the pipeline answers nobody. A prefix begins a
word and a suffix ends it, so it is enough to look there; the tokens stay the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

_NEAR: Final = 64
"""Code points at a word's end that are searched for a suffix."""
_SPARE: Final = 24
"""A suffix that begins this near to the searched part's begin may be longer, or look at what is before it."""

Search = Callable[[str], "re.Match[str] | None"]


def bound_affix_searches(tokenizer: Any) -> None:
    """Replaces the searches of a spaCy tokenizer; one whose rules are of another kind stays as it is."""
    prefix, suffix = (
        getattr(getattr(tokenizer, name, None), "__self__", None)
        for name in ("prefix_search", "suffix_search")
    )
    if isinstance(prefix, re.Pattern) and _all_begin(prefix.pattern):
        tokenizer.prefix_search = prefix.match
    if isinstance(suffix, re.Pattern):
        tokenizer.suffix_search = _at_the_end(suffix.search)


def _all_begin(pattern: str) -> bool:
    """Whether every alternative holds to the begin of the word, as `spacy.util.compile_prefix_regex` writes them."""
    depth, in_class, escaped, fresh = 0, False, False, True
    for character in pattern:
        if fresh and character != "^":
            return False
        fresh = False
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
            fresh = True
    return not fresh


def _at_the_end(search: Search) -> Search:
    """The same search for a pattern that ends with its word; the tokenizer asks for the match's length alone."""

    def near(word: str) -> re.Match[str] | None:
        if len(word) <= _NEAR:
            return search(word)
        found = search(word[-_NEAR:])
        return search(word) if found is not None and found.start() < _SPARE else found

    return near
