"""Finds the pins in a catalog's text and replaces them there, so that comments, order and quotes stay.

YAML is never written anew: the parser's marks say where a value begins and ends, and only these characters change.
What is wrong with the rest of the catalog is `parse_catalog`'s to say, with stand-ins for what is not pinned yet.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import yaml

from model_cache.catalog.catalog import Catalog
from model_cache.catalog.parse import parse_catalog

_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_REFERENCE: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,198}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class SourceSpan:
    """Characters `start` to `end` of the text, between which a value stands (or shall: then they are equal).

    `value` is what they mean; `before` and `after` are what a new value is written between.
    """

    start: int
    end: int
    value: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class Pins:
    """The spots of one model: its revision, or its wheel's sha256; None: it has none, or it cannot be found."""

    key: str
    revision: SourceSpan | None = None
    sha256: SourceSpan | None = None

    @property
    def reference(self) -> str:
        """The branch or tag that stands where a commit should; empty if there is none."""
        value = self.revision.value if self.revision is not None else ""
        is_name = _REFERENCE.fullmatch(value) and ".." not in value and "//" not in value
        return value if is_name and not _COMMIT.fullmatch(value.lower()) else ""

    @property
    def lacks_sha256(self) -> bool:
        """Whether the wheel is not pinned: no sha256, or nothing where it should be."""
        return self.sha256 is not None and self.sha256.value in ("", "~", "null")


def find_pins(text: str) -> tuple[Pins, ...]:
    """Return the pins of each model, in the order of the text; none of a text that is no catalog."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return ()
    models = _fields(root).get("models")
    items = models.value if isinstance(models, yaml.SequenceNode) else []
    return tuple(_pins(item, text) for item in items)


def with_stand_ins(text: str, origin: str) -> Catalog:
    """Return the catalog with stand-ins for what is not pinned. Raises `CatalogInvalid` for all other mistakes."""
    edits: dict[SourceSpan, str] = {}
    for pins in find_pins(text):
        if pins.reference and pins.revision is not None:
            edits[pins.revision] = "0" * 40
        if pins.lacks_sha256 and pins.sha256 is not None:
            edits[pins.sha256] = "0" * 64
    return parse_catalog(edited(text, edits), origin)


def edited(text: str, edits: Mapping[SourceSpan, str]) -> str:
    """Return the text with new values at these spots."""
    for spot in sorted(edits, key=lambda spot: -spot.start):
        text = text[: spot.start] + spot.before + edits[spot] + spot.after + text[spot.end :]
    return text


def _pins(model: yaml.Node, text: str) -> Pins:
    fields = _fields(model)
    key = fields.get("key")
    name = str(key.value) if isinstance(key, yaml.ScalarNode) else ""
    revision = _fields(fields.get("huggingface")).get("revision")
    package = fields.get("spacy")
    return Pins(
        name,
        _spot(revision) if isinstance(revision, yaml.ScalarNode) else None,
        _wheel_spot(package, text) if isinstance(package, yaml.MappingNode) else None,
    )


def _fields(node: yaml.Node | None) -> dict[str, yaml.Node]:
    return {name.value: value for name, value in _pairs(node) if isinstance(name, yaml.ScalarNode)}


def _pairs(node: yaml.Node | None) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from node.value


def _spot(value: yaml.ScalarNode) -> SourceSpan:
    quote = value.style if value.style in ("'", '"') else ""
    start, end = value.start_mark.index, value.end_mark.index
    return SourceSpan(start, end, value.value, quote or ("" if start < end else " "), quote)


def _wheel_spot(package: yaml.MappingNode, text: str) -> SourceSpan | None:
    """Where the sha256 stands, or shall: in a line below the URL, or behind it if all is on one line."""
    fields = _fields(package)
    there, url = fields.get("sha256"), fields.get("url")
    if isinstance(there, yaml.ScalarNode):
        return _spot(there)
    if there is not None or not isinstance(url, yaml.ScalarNode):
        return None
    if package.flow_style:
        return SourceSpan(url.end_mark.index, url.end_mark.index, "", ", sha256: ")
    name = next(name for name, value in package.value if value is url)
    line_end = text.find("\n", url.end_mark.index)
    at = len(text) if line_end < 0 else line_end
    carriage_return = "\r" if at and text[at - 1 : at] == "\r" else ""
    at -= len(carriage_return)
    return SourceSpan(at, at, "", f"{carriage_return}\n{' ' * name.start_mark.column}sha256: ")
