"""The nodes of a parsed catalog, and typed access to their fields that collects every mistake.

A document becomes a tree of `ScalarNode`, `SequenceNode` and `MappingNode`, named as in PyYAML, each with its line.
`yaml_text` builds it from YAML, `node_from_value` from a value of JSON; `node_to_json` and `node_from_json` store it,
so that the built-in catalog can be read without YAML.

A `Section` is a mapping whose keys are known. Its methods return values of the expected type. A value of another type
is added to the `ProblemCollector` of the file, and the method returns a stand-in (None, or the default), so that
parsing continues and the user sees all mistakes at once.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeVar

from model_cache.cli.parser import closest_match
from model_cache.errors import CatalogProblem

# Of a document; a catalog needs five levels.
MAX_DEPTH: Final = 16

_TRUE_WORDS: Final = frozenset({"yes", "true", "on"})  # YAML 1.1, in any case
# At most ten digits: enough for every limit, and short enough for int() on untrusted text.
_POSITIVE_INT: Final = re.compile("[1-9][0-9]{0,9}")
_POSITIVE_INT_ALLOWED: Final = "a whole number from 1 to 9999999999, without quotes"
_MAX_SHOWN_CHARACTERS: Final = 80

_Choice = TypeVar("_Choice", bound=StrEnum)


class ScalarNode(NamedTuple):
    """A single value.

    Attributes:
        line: counted from 1.
        kind: `text`, `number`, `boolean`, `nothing` or `date`.
        text: the value as written.
    """

    line: int
    kind: str
    text: str

    @property
    def truth(self) -> bool:
        """The value of a boolean."""
        return self.text.casefold() in _TRUE_WORDS

    def __str__(self) -> str:
        """Return a description for messages."""
        if self.kind == "nothing":
            return "nothing"
        shown = _shortened(self.text)
        escaped = ascii(shown)[1:-1] if not shown.isprintable() else shown
        return f'"{escaped}"' if self.kind == "text" else f"the {self.kind} {escaped}"


class SequenceNode(NamedTuple):
    """A list."""

    line: int
    items: tuple["Node", ...]

    def __str__(self) -> str:
        """Return a description for messages."""
        return f"a list of {len(self.items)}"


class MappingNode(NamedTuple):
    """A mapping from key to the key's line and its value. Of a duplicate key it holds the first."""

    line: int
    fields: dict[str, tuple[int, "Node"]]

    def __str__(self) -> str:
        """Return a description for messages."""
        return "a mapping" if self.fields else "an empty mapping"


Node = ScalarNode | SequenceNode | MappingNode


class CatalogSyntaxError(Exception):
    """The text is not YAML, or uses a part of YAML that catalogs do not allow.

    Attributes:
        line: counted from 1; 0 if it is not known.
        found: what stands there.
        allowed: what may stand there.
    """

    def __init__(self, line: int, found: str, allowed: str) -> None:
        super().__init__(found)
        self.line, self.found, self.allowed = line, found, allowed


class ProblemCollector:
    """The problems of one file, in the order in which they were found."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[CatalogProblem] = []

    def add(self, line: int, key: str, found: str, allowed: str, suggestion: str = "") -> None:
        """Add one problem; the arguments are the attributes of `CatalogProblem`."""
        self.problems.append(CatalogProblem(self.file, line, key, found, allowed, suggestion))


class Section(NamedTuple):
    """A mapping of the catalog whose keys are known.

    Attributes:
        node: the mapping.
        key: its path in the document, as `models[0].serving`; empty for the document.
        problems: where mistakes are added.
    """

    node: MappingNode
    key: str
    problems: ProblemCollector

    def path_of(self, name: str) -> str:
        """Return the key path of a field."""
        return f"{self.key}.{name}" if self.key else name

    def line_of(self, name: str) -> int:
        """Return the line of a field, or of the section if it has no such field."""
        entry = self.node.fields.get(name)
        return entry[0] if entry else self.node.line

    def has(self, name: str) -> bool:
        """Return whether the field is present."""
        return name in self.node.fields

    def add_problem(self, name: str, found: object, allowed: str, suggestion: str = "") -> None:
        """Add a problem with a field."""
        self.problems.add(self.line_of(name), self.path_of(name), str(found), allowed, suggestion)

    def reject_unknown(self, known_names: Iterable[str]) -> None:
        """Add a problem for each key that is not one of `known_names`."""
        known = tuple(known_names)
        for name in self.node.fields:
            if name not in known:
                guess = closest_match(name, [word for word in known if not self.has(word)])
                self.add_problem(name, f'the unknown key "{_shortened(name)}"', ", ".join(known), guess)

    def required(self, name: str, allowed: str) -> Node | None:
        """Return the node of a required field; if it is absent, add a problem and return None."""
        entry = self.node.fields.get(name)
        if entry is None:
            self.problems.add(self.node.line, self.path_of(name), "no such key", allowed)
            return None
        return entry[1]

    def text(self, name: str, allowed: str, *, digits: bool = False) -> str | None:
        """Return a required text field, or None with a problem added.

        Args:
            name: the name of the field.
            allowed: the allowed values, for the message.
            digits: accept a number without quotes as text, as for a commit of digits only.
        """
        node = self.required(name, allowed)
        if isinstance(node, ScalarNode) and (node.kind == "text" or (digits and node.kind == "number")):
            return node.text
        if isinstance(node, ScalarNode) and node.kind not in ("nothing", "text"):
            allowed = f"{allowed}, in quotes"
        if node is not None:
            self.add_problem(name, node, allowed)
        return None

    def choice(self, name: str, choices: type[_Choice], default: _Choice) -> _Choice:
        """Return an optional field that is one of an enumeration's values, or the default."""
        if not self.has(name):
            return default
        allowed = " | ".join(choices)
        text = self.text(name, allowed)
        if text is None:
            return default
        if text not in list(choices):
            shown = text[:_MAX_SHOWN_CHARACTERS]
            self.add_problem(name, f'"{shown}"', allowed, closest_match(text, list(choices)))
            return default
        return choices(text)

    def positive_int(self, name: str) -> int | None:
        """Return an optional whole number above zero, or None if it is absent or wrong."""
        if not self.has(name):
            return None
        node = self.required(name, "")
        number = _positive_int(node)
        if number is None:
            self.add_problem(name, node, _POSITIVE_INT_ALLOWED)
        return number

    def positive_ints(self, name: str) -> tuple[int, ...]:
        """Return an optional list of whole numbers above zero; empty if it is absent."""
        if not self.has(name):
            return ()
        allowed = f"a list, each {_POSITIVE_INT_ALLOWED}"
        numbers = [(_positive_int(node), node) for node in self.items(name, allowed)]
        for number, node in numbers:
            if number is None:
                self.add_problem(name, node, allowed)
        return tuple(number for number, _ in numbers if number is not None)

    def boolean(self, name: str) -> bool:
        """Return an optional field that is true or false; False if it is absent."""
        if not self.has(name):
            return False
        node = self.required(name, "")
        if isinstance(node, ScalarNode) and node.kind == "boolean":
            return node.truth
        self.add_problem(name, node, "true or false, without quotes")
        return False

    def items(self, name: str, allowed: str) -> tuple[Node, ...]:
        """Return the items of a required list that must not be empty; empty with a problem added."""
        node = self.required(name, allowed)
        if isinstance(node, SequenceNode) and node.items:
            return node.items
        if node is not None:
            self.add_problem(name, "an empty list" if isinstance(node, SequenceNode) else node, allowed)
        return ()

    def subsection(self, name: str, allowed: str) -> "Section | None":
        """Return an optional mapping, or None if it is absent or, with a problem added, something else."""
        if not self.has(name):
            return None
        node = self.node.fields[name][1]
        if isinstance(node, MappingNode):
            return Section(node, self.path_of(name), self.problems)
        self.add_problem(name, node, allowed)
        return None


def node_to_json(node: Node) -> list[object]:
    """Return a node as nested lists and objects that `node_from_json` reads."""
    if isinstance(node, ScalarNode):
        return list(node)
    if isinstance(node, SequenceNode):
        return [node.line, [node_to_json(item) for item in node.items]]
    return [node.line, {name: [line, node_to_json(value)] for name, (line, value) in node.fields.items()}]


def node_from_json(value: Any) -> Node:  # Any: JSON has no types
    """Return the node of a value that `node_to_json` returned.

    Raises:
        TypeError, ValueError: the value has another form.
    """
    if len(value) == 3:
        return ScalarNode(*value)
    line, inner = value
    if isinstance(inner, list):
        return SequenceNode(line, tuple(node_from_json(item) for item in inner))
    return MappingNode(line, {name: (at, node_from_json(each)) for name, (at, each) in inner.items()})


def node_from_value(value: object, depth: int = 0) -> Node:
    """Return the node of a value of a JSON document, which has no lines: all are 1.

    Raises:
        CatalogSyntaxError: the value has too many levels.
    """
    if depth > MAX_DEPTH:
        raise CatalogSyntaxError(1, f"more than {MAX_DEPTH} levels", "the few levels of a catalog")
    if isinstance(value, dict):
        fields = {str(name): (1, node_from_value(each, depth + 1)) for name, each in value.items()}
        return MappingNode(1, fields)
    if isinstance(value, list):
        return SequenceNode(1, tuple(node_from_value(item, depth + 1) for item in value))
    if isinstance(value, str):
        return ScalarNode(1, "text", value)
    if value is None:
        return ScalarNode(1, "nothing", "null")
    if isinstance(value, bool):
        return ScalarNode(1, "boolean", str(value).lower())
    return ScalarNode(1, "number", str(value))


def _positive_int(node: Node | None) -> int | None:
    if isinstance(node, ScalarNode) and node.kind == "number" and _POSITIVE_INT.fullmatch(node.text):
        return int(node.text)
    return None


def _shortened(text: str) -> str:
    limit = _MAX_SHOWN_CHARACTERS
    return text if len(text) <= limit else text[: limit - 3] + "..."
