"""Takes typed values out of a catalog's nodes and notes every mistake instead of stopping at the first.

A document as nodes that remember their line, whatever they were read from.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

from model_cache.cli.parser import nearest
from model_cache.errors import CatalogProblem

_TRUE: Final = frozenset({"yes", "true", "on"})  # YAML 1.1, any case


class Scalar(NamedTuple):
    """One value. `kind` is text, number, boolean, nothing or date; `text` is as written."""

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
    """The text is no YAML that can be read on: `line`, `found` and `allowed` say why."""

    def __init__(self, line: int, found: str, allowed: str) -> None:
        super().__init__(found)
        self.line, self.found, self.allowed = line, found, allowed


_POSITIVE: Final = "a whole number from 1 to 9999999999, without quotes"

_Word = TypeVar("_Word", bound=StrEnum)


class Mistakes:
    """The mistakes found so far in one file."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[CatalogProblem] = []

    def add(self, line: int, key: str, found: str, allowed: str, suggestion: str = "") -> None:
        """Note one mistake."""
        self.found.append(CatalogProblem(self.file, line, key, found, allowed, suggestion))


class Section(NamedTuple):
    """A mapping of the catalog whose keys are known; `key` is its path, empty for the document."""

    fields: Fields
    key: str
    mistakes: Mistakes

    def path(self, name: str) -> str:
        """Return the key path of a field."""
        return f"{self.key}.{name}" if self.key else name

    def line(self, name: str) -> int:
        """Return the line of a field, or of the section if the field is not there."""
        entry = self.fields.fields.get(name)
        return entry[0] if entry else self.fields.line

    def has(self, name: str) -> bool:
        """Return whether the field is there."""
        return name in self.fields.fields

    def wrong(self, name: str, found: object, allowed: str, suggestion: str = "") -> None:
        """Note a mistake in a field."""
        self.mistakes.add(self.line(name), self.path(name), str(found), allowed, suggestion)

    def allow(self, names: Iterable[str]) -> None:
        """Note each key that is not one of `names`."""
        known = tuple(names)
        for name in self.fields.fields:
            if name not in known:
                shown = name if len(name) <= 80 else name[:77] + "..."
                guess = nearest(name, [word for word in known if not self.has(word)])
                self.wrong(name, f'the unknown key "{shown}"', ", ".join(known), guess)

    def node(self, name: str, allowed: str) -> Node | None:
        """Return a field that must be there; if it is not, note it and return None."""
        entry = self.fields.fields.get(name)
        if entry is None:
            self.mistakes.add(self.fields.line, self.path(name), "no such key", allowed)
            return None
        return entry[1]

    def text(self, name: str, allowed: str, *, digits: bool = False) -> str | None:
        """Return a field that must be text; `digits`: unquoted digits are text too."""
        node = self.node(name, allowed)
        if isinstance(node, Scalar) and (node.kind == "text" or (digits and node.kind == "number")):
            return node.text
        if isinstance(node, Scalar) and node.kind not in ("nothing", "text"):
            allowed = f"{allowed}, in quotes"
        if node is not None:
            self.wrong(name, node, allowed)
        return None

    def word(self, name: str, words: type[_Word], default: _Word) -> _Word:
        """Return a field that is one of an enumeration's words, or the default."""
        if not self.has(name):
            return default
        allowed = " | ".join(words)
        text = self.text(name, allowed)
        if text is None:
            return default
        if text not in list(words):
            self.wrong(name, f'"{text[:80]}"', allowed, nearest(text, list(words)))
            return default
        return words(text)

    def positive(self, name: str) -> int | None:
        """Return a field that is a whole number above zero, or None if it is not there."""
        if not self.has(name):
            return None
        node = self.node(name, "")
        number = _positive(node)
        if number is None:
            self.wrong(name, node, _POSITIVE)
        return number

    def positives(self, name: str) -> tuple[int, ...]:
        """Return a field that is a list of whole numbers above zero; empty if it is not there."""
        if not self.has(name):
            return ()
        allowed = f"a list, each {_POSITIVE}"
        numbers = [(_positive(node), node) for node in self.items(name, allowed)]
        for number, node in numbers:
            if number is None:
                self.wrong(name, node, allowed)
        return tuple(number for number, _ in numbers if number is not None)

    def flag(self, name: str) -> bool:
        """Return a field that is true or false; false if it is not there."""
        if not self.has(name):
            return False
        node = self.node(name, "")
        if isinstance(node, Scalar) and node.kind == "boolean":
            return node.truth
        self.wrong(name, node, "true or false, without quotes")
        return False

    def items(self, name: str, allowed: str) -> tuple[Node, ...]:
        """Return the items of a list that must be there and hold something."""
        node = self.node(name, allowed)
        if isinstance(node, Items) and node.items:
            return node.items
        if node is not None:
            self.wrong(name, "an empty list" if isinstance(node, Items) else node, allowed)
        return ()

    def section(self, name: str, allowed: str) -> "Section | None":
        """Return a mapping, or None if it is not there or something else (which is noted)."""
        if not self.has(name):
            return None
        node = self.fields.fields[name][1]
        if isinstance(node, Fields):
            return Section(node, self.path(name), self.mistakes)
        self.wrong(name, node, allowed)
        return None


def _positive(node: Node | None) -> int | None:
    # ten digits: long enough for any limit, short enough for int() on text from outside
    if isinstance(node, Scalar) and node.kind == "number" and re.fullmatch("[1-9][0-9]{0,9}", node.text):
        return int(node.text)
    return None
