"""A document as nodes that remember their line, whatever they were read from."""

from typing import NamedTuple

_TRUE = frozenset({"yes", "true", "on"})  # YAML 1.1, any case


class Scalar(NamedTuple):
    """One value. ``kind`` is text, number, boolean, nothing or date; ``text`` is as written."""

    line: int
    kind: str
    text: str

    @property
    def truth(self) -> bool:
        """The value of a boolean."""
        return self.text.casefold() in _TRUE

    def __str__(self) -> str:
        """What it is, for a message."""
        shown = self.text if len(self.text) <= 80 else self.text[:77] + "..."
        if self.kind == "nothing":
            return "nothing"
        quoted = ascii(shown)[1:-1] if not shown.isprintable() else shown
        return f'"{quoted}"' if self.kind == "text" else f"the {self.kind} {quoted}"


class Items(NamedTuple):
    """A list."""

    line: int
    items: tuple["Node", ...]

    def __str__(self) -> str:
        """What it is, for a message."""
        return f"a list of {len(self.items)}"


class Fields(NamedTuple):
    """A mapping; of a key that is there twice the first counts."""

    line: int
    fields: dict[str, tuple[int, "Node"]]

    def __str__(self) -> str:
        """What it is, for a message."""
        return "a mapping" if self.fields else "an empty mapping"


Node = Scalar | Items | Fields


class Unreadable(Exception):
    """The text is no YAML that can be read on: ``line``, ``found`` and ``allowed`` say why."""

    def __init__(self, line: int, found: str, allowed: str) -> None:
        super().__init__(found)
        self.line, self.found, self.allowed = line, found, allowed
