"""Finds the word that a mistyped one was probably meant to be."""

from collections.abc import Iterable


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return the allowed word most like ``word``, or an empty string if none is near."""
    from difflib import get_close_matches  # here, not above: only mistakes pay for its import

    by_folded = {candidate.casefold(): candidate for candidate in allowed}
    typed = word.casefold()[:100]  # the cost grows with the square of the length; no allowed word is longer
    matches = get_close_matches(typed, list(by_folded), n=1)
    if not matches and len(typed) > 2:
        matches = [candidate for candidate in by_folded if candidate.startswith(typed)]
    return by_folded[matches[0]] if matches else ""
