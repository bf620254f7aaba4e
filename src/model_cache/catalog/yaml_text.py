"""Parse YAML into nodes that keep their lines, and refuse what a catalog must not contain.

PyYAML's own construction loses lines and lets the last of duplicate keys win, and its anchors let a few lines expand to
gigabytes. This reader turns the parser's events into the nodes of `model_cache.catalog.fields`. It refuses anchors,
aliases and tags, limits the depth, and reports duplicate keys.

The module is imported only for catalogs of the user, because importing PyYAML takes a fifth of a check's time.
"""

from collections.abc import Callable
from typing import Any, Final

import yaml

from model_cache.catalog.fields import (
    MAX_DEPTH,
    CatalogSyntaxError,
    MappingNode,
    Node,
    ScalarNode,
    SequenceNode,
)

_LOADER: Final[type[yaml.SafeLoader]] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KINDS: Final = {
    "tag:yaml.org,2002:str": "text",
    "tag:yaml.org,2002:int": "number",
    "tag:yaml.org,2002:float": "number",
    "tag:yaml.org,2002:bool": "boolean",
    "tag:yaml.org,2002:null": "nothing",
    "tag:yaml.org,2002:timestamp": "date",
}


class YamlReader:
    """Reader of one YAML document.

    Args:
        text: the document.
        on_duplicate: called as `on_duplicate(line, key, first_line)` for each key that appears again.
    """

    def __init__(self, text: str, on_duplicate: Callable[[int, str, int], None]) -> None:
        self._text, self._on_duplicate = text, on_duplicate
        self._loader: Any = None  # PyYAML's event methods have no types

    def document(self) -> Node | None:
        """Return the document's node, or None if the text has no document.

        Raises:
            CatalogSyntaxError: the text is not valid YAML, or has a part that catalogs do not allow.
        """
        try:
            self._loader = _LOADER(self._text)
            return self._only_document()
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            found = f"a syntax error ({error.problem or error.context})"
            raise CatalogSyntaxError(mark.line + 1 if mark else 0, found, "valid YAML") from error
        except yaml.reader.ReaderError as error:
            line = self._text.count("\n", 0, error.position) + 1
            code = error.character if isinstance(error.character, int) else ord(error.character)
            found, allowed = f"the character U+{code:04X}", "YAML text, which has no such character"
            raise CatalogSyntaxError(line, found, allowed) from error

    def _only_document(self) -> Node | None:
        self._next_event()  # start of the stream
        if isinstance(self._next_event(), yaml.StreamEndEvent):
            return None
        node = self._node(self._next_event(), "", 0)
        self._next_event()  # end of the document
        event = self._next_event()
        if not isinstance(event, yaml.StreamEndEvent):
            raise CatalogSyntaxError(event.start_mark.line + 1, "a second document", "one document in a file")
        return node

    def _next_event(self) -> Any:
        return self._loader.get_event()

    def _node(self, event: Any, key: str, depth: int) -> Node:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise CatalogSyntaxError(line, f"the alias *{event.anchor}", "values written out each time")
        if event.anchor is not None:
            raise CatalogSyntaxError(line, f"the anchor &{event.anchor}", "values written out each time")
        if event.tag is not None:
            raise CatalogSyntaxError(line, f'the tag "{event.tag}"', "values without a tag; quotes make text")
        if depth > MAX_DEPTH:
            raise CatalogSyntaxError(line, f"more than {MAX_DEPTH} levels", "the few levels of a catalog")
        if isinstance(event, yaml.ScalarEvent):
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
            return ScalarNode(line, _KINDS.get(tag, "text"), event.value)
        if isinstance(event, yaml.SequenceStartEvent):
            return SequenceNode(line, tuple(self._items(key, depth)))
        return MappingNode(line, self._fields(key, depth))

    def _items(self, key: str, depth: int) -> list[Node]:
        items: list[Node] = []
        while not isinstance(event := self._next_event(), yaml.SequenceEndEvent):
            items.append(self._node(event, f"{key}[{len(items)}]", depth + 1))
        return items

    def _fields(self, key: str, depth: int) -> dict[str, tuple[int, Node]]:
        fields: dict[str, tuple[int, Node]] = {}
        while not isinstance(event := self._next_event(), yaml.MappingEndEvent):
            name = self._node(event, key, depth + 1)
            if not isinstance(name, ScalarNode):
                raise CatalogSyntaxError(name.line, f"{name} as a key", "a word as a key")
            path = f"{key}.{name.text}" if key else name.text
            value = self._node(self._next_event(), path, depth + 1)
            if name.text in fields:
                self._on_duplicate(name.line, path, fields[name.text][0])
            else:
                fields[name.text] = (name.line, value)
        return fields
