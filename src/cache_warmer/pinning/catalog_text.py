"""Find the pins in the text of a catalog and replace them there, so that comments, order and quotes stay.

The document is never serialized again: the marks of the YAML parser give the characters at which a value begins and
ends, and only these characters change. Other mistakes in a catalog are left to `parse_catalog`, which gets the text
with placeholders for what is not pinned yet.
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
_COMMIT_PLACEHOLDER: Final = "0" * 40
_SHA256_PLACEHOLDER: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class SourceSpan:
    """The characters of a text that hold a value, or where a value can be inserted.

    Attributes:
        start, end: the first character, and the one after the last; equal if there is no value.
        value: what the characters mean.
        before, after: what a new value is written between.
    """

    start: int
    end: int
    value: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class ModelPins:
    """The pins of one model in the text.

    Attributes:
        key: the key of the model.
        revision: the revision of its repository; None if it has none, or it cannot be found.
        sha256: the hash of its wheel; None likewise.
    """

    key: str
    revision: SourceSpan | None = None
    sha256: SourceSpan | None = None

    @property
    def reference(self) -> str:
        """Return the branch or tag in place of a commit; empty if there is none."""
        value = self.revision.value if self.revision is not None else ""
        is_name = _REFERENCE.fullmatch(value) and ".." not in value and "//" not in value
        return value if is_name and not _COMMIT.fullmatch(value.lower()) else ""

    @property
    def lacks_sha256(self) -> bool:
        """Return whether the wheel is not pinned: it has no sha256, or an empty one."""
        return self.sha256 is not None and self.sha256.value in ("", "~", "null")


def find_pins(text: str) -> tuple[ModelPins, ...]:
    """Return the pins of each model, in the order of the text; none if the text is no catalog."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return ()
    models = _fields(root).get("models")
    items = models.value if isinstance(models, yaml.SequenceNode) else []
    return tuple(_model_pins(item, text) for item in items)


def parse_with_placeholders(text: str, origin: str) -> Catalog:
    """Parse the catalog with placeholders for what is not pinned.

    Args:
        text: the text of the catalog.
        origin: what error messages call it.

    Raises:
        CatalogInvalid: the catalog has any other mistake.
    """
    edits: dict[SourceSpan, str] = {}
    for pins in find_pins(text):
        if pins.reference and pins.revision is not None:
            edits[pins.revision] = _COMMIT_PLACEHOLDER
        if pins.lacks_sha256 and pins.sha256 is not None:
            edits[pins.sha256] = _SHA256_PLACEHOLDER
    return parse_catalog(apply_edits(text, edits), origin)


def apply_edits(text: str, edits: Mapping[SourceSpan, str]) -> str:
    """Return the text with a new value at each of these spans."""
    for span in sorted(edits, key=lambda span: -span.start):  # from the end: earlier positions stay valid
        text = text[: span.start] + span.before + edits[span] + span.after + text[span.end :]
    return text


def _model_pins(model: yaml.Node, text: str) -> ModelPins:
    fields = _fields(model)
    key = fields.get("key")
    revision = _fields(fields.get("huggingface")).get("revision")
    package = fields.get("spacy")
    return ModelPins(
        str(key.value) if isinstance(key, yaml.ScalarNode) else "",
        _span(revision) if isinstance(revision, yaml.ScalarNode) else None,
        _sha256_span(package, text) if isinstance(package, yaml.MappingNode) else None,
    )


def _fields(node: yaml.Node | None) -> dict[str, yaml.Node]:
    return {name.value: value for name, value in _pairs(node) if isinstance(name, yaml.ScalarNode)}


def _pairs(node: yaml.Node | None) -> Iterator[tuple[yaml.Node, yaml.Node]]:
    if isinstance(node, yaml.MappingNode):
        yield from node.value


def _span(value: yaml.ScalarNode) -> SourceSpan:
    quote = value.style if value.style in ("'", '"') else ""
    start, end = value.start_mark.index, value.end_mark.index
    return SourceSpan(start, end, value.value, quote or ("" if start < end else " "), quote)


def _sha256_span(package: yaml.MappingNode, text: str) -> SourceSpan | None:
    """Return where the sha256 is or can be inserted: on a line below the URL, or after it in a flow mapping."""
    fields = _fields(package)
    sha256, url = fields.get("sha256"), fields.get("url")
    if isinstance(sha256, yaml.ScalarNode):
        return _span(sha256)
    if sha256 is not None or not isinstance(url, yaml.ScalarNode):
        return None
    if package.flow_style:
        return SourceSpan(url.end_mark.index, url.end_mark.index, "", ", sha256: ")
    name = next(name for name, value in package.value if value is url)
    line_end = text.find("\n", url.end_mark.index)
    position = len(text) if line_end < 0 else line_end
    carriage_return = "\r" if position and text[position - 1 : position] == "\r" else ""
    position -= len(carriage_return)
    indent = " " * name.start_mark.column
    return SourceSpan(position, position, "", f"{carriage_return}\n{indent}sha256: ")
