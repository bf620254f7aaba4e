"""Reads YAML into nodes: lines are kept, duplicate keys seen, dangerous parts refused.

PyYAML's own construction loses lines and lets a later duplicate key win, and its anchors let a few lines
grow to gigabytes. Here the parser's events become small nodes; anchors, aliases and tags are refused.
"""

from collections.abc import Callable
from typing import Any, Final

import yaml

from model_cache.catalog.fields import Fields, Items, Node, Scalar, Unreadable

_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# A catalog needs five levels.
MAX_DEPTH: Final = 16

_KINDS: Final = {
    "tag:yaml.org,2002:str": "text",
    "tag:yaml.org,2002:int": "number",
    "tag:yaml.org,2002:float": "number",
    "tag:yaml.org,2002:bool": "boolean",
    "tag:yaml.org,2002:null": "nothing",
    "tag:yaml.org,2002:timestamp": "date",
}


class Reading:
    """Reads one document. `duplicate(line, key, first_line)` is called for each key that is there twice."""

    def __init__(self, text: str, duplicate: Callable[[int, str, int], None]) -> None:
        self._text, self._duplicate = text, duplicate
        self._loader: Any = None  # PyYAML's parts have no types

    def document(self) -> Node | None:
        """Return the document's node, or None if there is no document. Raises `Unreadable`."""
        try:
            self._loader = _Loader(self._text)
            return self._only_document()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            found = f"a syntax error ({error.problem or error.context})"
            raise Unreadable(mark.line + 1 if mark else 0, found, "valid YAML") from error
        except yaml.reader.ReaderError as error:
            line = self._text.count("\n", 0, error.position) + 1
            code = error.character if isinstance(error.character, int) else ord(error.character)
            found, allowed = f"the character U+{code:04X}", "YAML text, which has no such character"
            raise Unreadable(line, found, allowed) from error

    def _only_document(self) -> Node | None:
        self._next()  # the stream's start
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        node = self._node(self._next(), "", 0)
        self._next()  # the document's end
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise Unreadable(event.start_mark.line + 1, "a second document", "one document in a file")
        return node

    def _next(self) -> Any:
        return self._loader.get_event()

    def _node(self, event: Any, key: str, depth: int) -> Node:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise Unreadable(line, f"the alias *{event.anchor}", "values written out each time")
        if event.anchor is not None:
            raise Unreadable(line, f"the anchor &{event.anchor}", "values written out each time")
        if event.tag is not None:
            raise Unreadable(line, f'the tag "{event.tag}"', "values without a tag; quotes make text")
        if depth > MAX_DEPTH:
            raise Unreadable(line, f"more than {MAX_DEPTH} levels", "the few levels of a catalog")
        if isinstance(event, yaml.ScalarEvent):
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
            return Scalar(line, _KINDS.get(tag, "text"), event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return Items(line, tuple(self._items(key, depth)))
        return Fields(line, self._fields(key, depth))

    def _items(self, key: str, depth: int) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, f"{key}[{len(items)}]", depth + 1))
        return items

    def _fields(self, key: str, depth: int) -> dict[str, tuple[int, Node]]:
        fields: dict[str, tuple[int, Node]] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            name = self._node(event, key, depth + 1)
            if not isinstance(name, Scalar):
                raise Unreadable(name.line, f"{name} as a key", "a word as a key")
            path = f"{key}.{name.text}" if key else name.text
            value = self._node(self._next(), path, depth + 1)
            if name.text in fields:
                self._duplicate(name.line, path, fields[name.text][0])
            else:
                fields[name.text] = (name.line, value)
        return fields
