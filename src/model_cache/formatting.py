"""Numbers and tables as the programs print them for people: sizes in decimal units, aligned columns."""

from collections.abc import Collection, Sequence


def human_bytes(count: int) -> str:
    """Return a size in bytes for people, in units of 1000: `999 B`, `1.2 kB`, `2.3 GB`."""
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        size /= 1000
        if size < 999.95 or unit == "PB":
            break
    return f"{size:.1f} {unit}"


def align_columns(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Return rows as text with aligned columns.

    Args:
        rows: of cells, all with the same number of columns.
        right: indices of the columns to align to the right.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
