"""The XML of REFI-QDA: `project.qde` of a project, and a code book, written element by element.

The schemas are those of REFI-QDA 1.5 (namespaces `urn:QDA-XML:project:1.0` and `urn:QDA-XML:codebook:1.0`), under the
MIT licence; tests validate against them.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TextIO
from xml.sax.saxutils import escape, quoteattr

from qda_worker.client.tables.refi_qda.codes import Code, CodeKey, guid

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_PROJECT_NAMESPACE: Final = "urn:QDA-XML:project:1.0"
_CODE_BOOK_NAMESPACE: Final = "urn:QDA-XML:codebook:1.0"

# Characters that XML 1.0 cannot hold.
_NOT_IN_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Selection:
    """A part of a source with the codes that one user has applied.

    A selection has one user, because some programs take that of the selection for the user of its codings.

    Attributes:
        start: its first code point.
        end: the code point behind its last one.
        user: name of the user.
        codes: the codes.
        notes: what else is known.
    """

    start: int
    end: int
    user: str
    codes: dict[CodeKey, None] = field(default_factory=dict)
    notes: dict[str, None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProjectHead:
    """What a project has beside its sources.

    Attributes:
        name: its name.
        origin: the program that writes it.
        created: when the results were computed, as an XML `dateTime`.
        users: the names of the users; the first one has created the project.
        codes: the codes at the top.
        note: where everything is from.
    """

    name: str
    origin: str
    created: str
    users: Sequence[str]
    codes: Sequence[Code]
    note: str

    @property
    def note_guid(self) -> str:
        """The GUID of the note, and of its file."""
        return guid("note", self.name, self.note)


class ProjectWriter:
    """Writes `project.qde`."""

    def __init__(self, stream: TextIO, head: ProjectHead) -> None:
        """Create the writer; nothing is written yet."""
        self._xml = _Xml(stream)
        self._head = head

    @contextmanager
    def project(self) -> Iterator[None]:
        """Write what is before the sources, and at the end what is behind them; `add_source` belongs between."""
        xml, head = self._xml, self._head
        xml.declare()
        creator = user_guid(head.users[0])
        with xml.element(
            "Project",
            xmlns=_PROJECT_NAMESPACE,
            name=head.name,
            origin=head.origin,
            creatingUserGUID=creator,
            creationDateTime=head.created,
        ):
            with xml.element("Users"):
                for user in head.users:
                    xml.empty("User", guid=user_guid(user), name=user)
            if head.codes:
                with xml.element("CodeBook"):
                    xml.codes(head.codes)
            with xml.element("Sources"):
                yield
            with (
                xml.element("Notes"),
                xml.element(
                    "Note",
                    guid=head.note_guid,
                    name="Provenance",
                    plainTextPath=f"internal://{head.note_guid}.txt",
                    creatingUser=creator,
                    creationDateTime=head.created,
                ),
            ):
                pass
            xml.text("Description", head.note)
            xml.empty("NoteRef", targetGUID=head.note_guid)

    def add_source(self, identifier: str, name: str, selections: Iterable[Selection]) -> None:
        """Write a source and its selections.

        Args:
            identifier: its GUID; its file is `sources/GUID.txt`.
            name: its name in the program.
            selections: in any order.
        """
        xml, created = self._xml, self._head.created
        with xml.element(
            "TextSource",
            guid=identifier,
            name=name,
            plainTextPath=f"internal://{identifier}.txt",
            creatingUser=user_guid(self._head.users[0]),
            creationDateTime=created,
        ):
            for each in sorted(
                selections, key=lambda selection: (selection.start, -selection.end, selection.user)
            ):
                place = guid("selection", identifier, str(each.start), str(each.end), each.user)
                user = user_guid(each.user)
                with xml.element(
                    "PlainTextSelection",
                    guid=place,
                    name="",
                    startPosition=str(each.start),
                    endPosition=str(each.end),
                    creatingUser=user,
                    creationDateTime=created,
                ):
                    if each.notes:
                        xml.text("Description", "\n".join(each.notes))
                    for code in each.codes:
                        with xml.element(
                            "Coding",
                            guid=guid("coding", place, code.guid),
                            creatingUser=user,
                            creationDateTime=created,
                        ):
                            xml.empty("CodeRef", targetGUID=code.guid)


def write_code_book(stream: TextIO, codes: Sequence[Code], origin: str) -> None:
    """Write a code book (QDC)."""
    xml = _Xml(stream)
    xml.declare()
    with xml.element("CodeBook", xmlns=_CODE_BOOK_NAMESPACE, origin=origin):
        xml.codes(codes)


def user_guid(name: str) -> str:
    """Return the GUID of a user."""
    return guid("user", name)


class _Xml:
    """Writes indented elements."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._depth = 0

    def declare(self) -> None:
        """Write the XML declaration."""
        self._stream.write(_DECLARATION)

    @contextmanager
    def element(self, tag: str, **attributes: str) -> Iterator[None]:
        """Write an element with elements in it."""
        self._line(f"<{tag}{_attributes(attributes)}>")
        self._depth += 1
        yield
        self._depth -= 1
        self._line(f"</{tag}>")

    def empty(self, tag: str, **attributes: str) -> None:
        """Write an element without content."""
        self._line(f"<{tag}{_attributes(attributes)}/>")

    def text(self, tag: str, content: str) -> None:
        """Write an element with a text."""
        self._line(f"<{tag}>{escape(_valid(content))}</{tag}>")

    def codes(self, codes: Sequence[Code]) -> None:
        """Write codes and those below them."""
        with self.element("Codes"):
            for code in codes:
                self._code(code)

    def _code(self, code: Code) -> None:
        attributes = {"guid": code.guid, "name": code.name, "isCodable": "true" if code.colour else "false"}
        if code.colour:
            attributes["color"] = code.colour
        with self.element("Code", **attributes):
            if code.description:
                self.text("Description", code.description)
            for child in code.children:
                self._code(child)

    def _line(self, line: str) -> None:
        self._stream.write(f"{'  ' * self._depth}{line}\n")


def _attributes(attributes: dict[str, str]) -> str:
    return "".join(f" {name}={quoteattr(_valid(value))}" for name, value in attributes.items())


def _valid(text: str) -> str:
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", text)
