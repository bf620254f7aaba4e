"""Divide the HTML that programs write into tags and texts, in linear time. No I/O.

Python's own `html.parser` is not used: it raises errors on some markup, and takes quadratic time for tags that are not
closed, which a damaged file may have by the thousands. What is no tag here is text. Comments and declarations are left
out, and so is the content of `head`, `script` and `style`, up to their end; without one, nothing is left out.
"""

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

# A tag ends with the first `>`: programs do not write it within an attribute.
_MARKUP: Final = re.compile(
    r"<!--|<[!?][^<>]{0,4000}>"
    r"|<(?P<end>/?)(?P<name>[a-zA-Z][a-zA-Z0-9]{0,20})(?P<rest>(?:[\s/][^<>]{0,4000})?)>"
)
# A name begins behind another character: else each part of a long word without a value would be tried.
_ATTRIBUTE: Final = re.compile(r"""(?<![^\s"'=/<>])([^\s"'=/<>]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+))""")
_COMMENT: Final = "<!--"
_UNSEEN: Final = frozenset({"head", "script", "style"})
_UNSEEN_END: Final = re.compile(rf"</({'|'.join(sorted(_UNSEEN))})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag.

    Attributes:
        name: of the element, in lower case.
        is_end: whether the element ends with it.
        rest: what is written behind the name.
    """

    name: str
    is_end: bool
    rest: str = ""

    def attributes(self) -> dict[str, str]:
        """Return the attributes that have a value."""
        return {
            match[1].lower(): html.unescape(match[2] or match[3] or match[4] or "")
            for match in _ATTRIBUTE.finditer(self.rest)
        }


def html_tokens(content: str) -> Iterator[Tag | str]:
    """Yield the tags and the texts of a page, in order; character references are replaced."""
    unseen: set[str] = set()
    last_end = content.rfind("-->")
    last_ends = {match[1].lower(): match.start() for match in _UNSEEN_END.finditer(content)}
    done = position = 0
    while match := _MARKUP.search(content, position):
        position = match.end()
        if match[0] == _COMMENT:
            end = content.find("-->", position) if position <= last_end else -1
            if end < 0:
                continue  # it is text
            position = end + len("-->")
        if match.start() > done and not unseen:
            yield html.unescape(content[done : match.start()])
        done = position
        if match["name"] is None:
            continue
        tag = Tag(match["name"].lower(), match["end"] == "/", match["rest"])
        if tag.name in _UNSEEN:
            begins = not tag.is_end and last_ends.get(tag.name, 0) >= position
            unseen = unseen | {tag.name} if begins else unseen - {tag.name}
        elif not unseen:
            yield tag
    if done < len(content) and not unseen:
        yield html.unescape(content[done:])
