"""The code blocks of a page in Markdown: fenced ones with their language, and indented ones, which hold commands."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_INDENT: Final = "    "
_HERE_DOCUMENT: Final = re.compile(r"<<-?\s*'?(\w+)'?")


@dataclass(frozen=True, slots=True)
class Block:
    """A code block.

    Attributes:
        heading: the heading that it follows.
        language: the word behind the fence; empty for a fence without one; `indented` for an indented block.
        lines: its lines.
        number: its first line in the page, from 1.
    """

    heading: str
    language: str
    lines: tuple[str, ...]
    number: int

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def read_blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page in their order."""
    blocks: list[Block] = []
    heading, language, first = "", "", 0
    lines: list[str] | None = None  # of the block that is open
    for number, line in enumerate([*page.read_text("utf-8").splitlines(), ""], start=1):
        if (
            lines is not None
            and language == "indented"
            and (not line.startswith(_INDENT) or not line.strip())
        ):
            blocks.append(Block(heading, language, tuple(lines), first))
            lines = None
        if lines is not None:
            if line.strip() == "```":
                blocks.append(Block(heading, language, tuple(lines), first))
                lines = None
            else:
                lines.append(line.removeprefix(_INDENT) if language == "indented" else line)
        elif line.lstrip().startswith("```"):
            lines, language, first = [], line.strip().removeprefix("```"), number + 1
        elif line.startswith(_INDENT) and line.strip():
            lines, language, first = [line.removeprefix(_INDENT)], "indented", number
        elif line.startswith("#"):
            heading = line.lstrip("# ")
    return blocks


def read_commands(block: Block) -> list[str]:
    """Return the command lines of an indented block; each goes on while its lines end with a backslash."""
    commands: list[str] = []
    for line in block.lines:
        if commands and commands[-1].endswith("\\"):
            commands[-1] += f"\n{line}"
        else:
            commands.append(line)
    return commands


def read_console(block: Block) -> list[tuple[str, tuple[str, ...]]]:
    """Return the commands of a `console` block, each with the lines of its output that the page shows.

    A line that starts with `$ ` is a command. It goes on while its lines end with a backslash, or up to the end of its
    here-document. The lines after it are output.
    """
    found: list[tuple[str, tuple[str, ...]]] = []
    lines = iter(block.lines)
    for line in lines:
        if not line.startswith("$ "):
            command, shown = found.pop()
            found.append((command, (*shown, line)))
            continue
        text = [line.removeprefix("$ ")]
        while text[-1].endswith("\\"):
            text.append(next(lines))
        if end := _HERE_DOCUMENT.search(text[-1]):
            while text[-1] != end[1]:
                text.append(next(lines))
        found.append(("\n".join(text), ()))
    return found
