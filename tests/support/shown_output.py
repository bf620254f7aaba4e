"""Comparison of the output of a command with what a page shows of it, shortened by `…`.

Inside a line, `…` stands for any characters of that line; the words around it must be there, in their order. A line
that is `…` alone stands for any number of lines, also none. Everything else must be as it is printed; blanks at the end
of a line do not count.
"""

import re
from collections.abc import Sequence
from typing import Final

ANYTHING: Final = "…"


def missing_line(shown: Sequence[str], printed: str) -> str | None:
    """Return the first line of a page that the output does not have in its place.

    Returns:
        The line; an empty string if more is printed than the page shows; None if all is as the page shows it.
    """
    lines = printed.removesuffix("\n").split("\n") if printed else []
    # Numbers of printed lines that the lines of the page so far can stand for.
    reached = {0}
    for line in shown:
        if line.strip() == ANYTHING:
            reached = set(range(min(reached), len(lines) + 1))
            continue
        reached = {count + 1 for count in reached if count < len(lines) and is_line(line, lines[count])}
        if not reached:
            return line
    return None if len(lines) in reached else ""


def is_line(shown: str, printed: str) -> bool:
    """Return whether a line of a page is a printed line; `…` in it stands for any characters."""
    words = map(re.escape, shown.rstrip().split(ANYTHING))
    return re.fullmatch(".*".join(words), printed.rstrip(), re.DOTALL) is not None
