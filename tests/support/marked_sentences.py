"""Texts whose sentences are marked: "|" stands between two of them."""


def split_marked(marked: str) -> tuple[str, list[int]]:
    """Return the text without marks, and where its sentences end in it, without the blanks behind them."""
    ends, start = [], 0
    for part in marked.split("|"):
        ends.append(start + len(part.rstrip()))
        start += len(part)
    return marked.replace("|", ""), ends
