"""The codes of a project: sentiments, labels of entities, and speakers. No I/O.

Codes stand below one of three codes that are not applied themselves. Their GUIDs are derived from their names, so the
same code has the same GUID in each project and code book, and an importing program can recognize it. Names are unique
in a project, because some programs merge codes of equal names.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import cycle
from typing import Final
from uuid import UUID, uuid5

# The namespace of all GUIDs of this program, a random UUID.
NAMESPACE: Final = UUID("5b5a1c0e-6f0b-4c39-9d53-8f2a6d2f7e11")


class Group(StrEnum):
    """The codes at the top."""

    SENTIMENT = "Sentiment"
    ENTITIES = "Entities"
    SPEAKERS = "Speakers"


# Colours that people with colour blindness distinguish (Okabe and Ito).
_COLOURS: Final = {
    (Group.SENTIMENT, "positive"): "#009E73",
    (Group.SENTIMENT, "negative"): "#D55E00",
    (Group.SENTIMENT, "neutral"): "#999999",
    **dict.fromkeys(((Group.ENTITIES, "PER"), (Group.ENTITIES, "PERSON")), "#0072B2"),
    **dict.fromkeys(((Group.ENTITIES, "LOC"), (Group.ENTITIES, "LOCATION")), "#56B4E9"),
    **dict.fromkeys(((Group.ENTITIES, "ORG"), (Group.ENTITIES, "ORGANIZATION")), "#CC79A7"),
}
_OTHER_COLOURS: Final = ("#E69F00", "#F0E442", "#8DA0CB", "#A6761D", "#66C2A5", "#E78AC3")

_DESCRIPTIONS: Final = {
    Group.SENTIMENT: "Sentiment of a text or sentence, by a model: the label with the highest probability.",
    Group.ENTITIES: "Names that a model has recognized.",
    Group.SPEAKERS: "Who speaks, by the labels of the transcript.",
}
_SENTIMENT_ORDER: Final = ("positive", "neutral", "negative")


@dataclass(frozen=True, slots=True)
class CodeKey:
    """What identifies a code: its group, and its name in it."""

    group: Group
    label: str

    @property
    def guid(self) -> str:
        """The GUID of the code."""
        return guid("code", self.group, self.label)


@dataclass(frozen=True, slots=True)
class Code:
    """A code as a program shows it.

    Attributes:
        guid: identifies it.
        name: unique in the project.
        colour: as `#RRGGBB`; empty for codes that are not applied.
        description: what it means; may be empty.
        children: the codes below it.
    """

    guid: str
    name: str
    colour: str = ""
    description: str = ""
    children: tuple["Code", ...] = ()


def guid(*parts: str) -> str:
    """Return the GUID of what these texts identify."""
    joined = "\0".join(parts).encode(errors="replace").decode()
    return str(uuid5(NAMESPACE, joined))


def code_book(keys: Iterable[CodeKey]) -> tuple[Code, ...]:
    """Return the codes at the top, each with those codes below it that are among `keys`."""
    labels: dict[Group, list[str]] = {}
    for key in dict.fromkeys(keys):
        labels.setdefault(key.group, []).append(key.label)
    taken = {str(group).casefold() for group in Group}
    book: list[Code] = []
    for group in Group:
        if group not in labels:
            continue
        colours = cycle(_OTHER_COLOURS)
        children: list[Code] = []
        for label in sorted(labels[group], key=_sort_key):
            key = CodeKey(group, label)
            colour = _COLOURS.get((group, label)) or next(colours)
            children.append(Code(key.guid, _unique(label, group, taken), colour))
        book.append(
            Code(
                guid("group", group),
                str(group),
                description=_DESCRIPTIONS[group],
                children=tuple(children),
            )
        )
    return tuple(book)


def _sort_key(label: str) -> tuple[int, str]:
    in_order = label in _SENTIMENT_ORDER
    return (_SENTIMENT_ORDER.index(label) if in_order else len(_SENTIMENT_ORDER), label)


def _unique(label: str, group: Group, taken: set[str]) -> str:
    """Return the label as a name that no other code has; programs compare names without regard to case."""
    name = label
    number = 1
    while name.casefold() in taken:
        number += 1
        name = f"{label} ({group.lower()})" if number == 2 else f"{label} ({group.lower()} {number})"
    taken.add(name.casefold())
    return name
