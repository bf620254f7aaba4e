"""Replace forms in the text of a file, and put the originals back. No I/O.

Each replacement is recorded with its place and the characters that were there, so that a file is restored exactly,
whatever placeholders it had before. In a file that was changed since, the placeholders themselves are looked for.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qda_worker.client.pseudonyms.forms import FormMatcher, Markup
from qda_worker.client.pseudonyms.text_file import TextFile


@dataclass(frozen=True, slots=True)
class Replaced:
    """A place in the new text where a placeholder is.

    Attributes:
        start: where it begins.
        length: of the placeholder.
        original: what was written there.
    """

    start: int
    length: int
    original: str


class Replacer:
    """Replaces forms by placeholders."""

    def __init__(self, placeholders: Mapping[str, str]) -> None:
        """Take the placeholder of each form."""
        self.placeholders = dict(placeholders)
        self._matchers = {markup: FormMatcher(self.placeholders, markup) for markup in Markup}
        self._in_names = {_with_blanks(form): placeholder for form, placeholder in placeholders.items()}
        self._name_matcher = FormMatcher(self._in_names)

    def replace(self, file: TextFile) -> tuple[str, list[Replaced]]:
        """Return the new text of a file, and what was replaced in it."""
        pieces: list[str] = []
        replaced: list[Replaced] = []
        done = size = 0
        matcher = self._matchers[file.markup]
        for part in file.parts():
            for found in matcher.find(part.text):
                start, end = part.span(found.start, found.end)
                placeholder = self.placeholders[found.form]
                pieces += [file.text[done:start], placeholder]
                size += start - done
                replaced.append(Replaced(size, len(placeholder), file.text[start:end]))
                size += len(placeholder)
                done = end
        pieces.append(file.text[done:])
        return "".join(pieces), replaced

    def replace_name(self, name: str) -> str:
        """Return the name of a file without the forms in it. Hyphens and underscores in both are taken for blanks."""
        pieces: list[str] = []
        done = 0
        for found in self._name_matcher.find(_with_blanks(name)):
            pieces += [name[done : found.start], re.sub(r'[<>:"/\\|?*]', "_", self._in_names[found.form])]
            done = found.end
        return "".join([*pieces, name[done:]])


def _with_blanks(name: str) -> str:
    return re.sub("[_-]", " ", name)


def restore(text: str, replaced: Sequence[Replaced]) -> str:
    """Return a text with the originals at the recorded places."""
    pieces: list[str] = []
    done = 0
    for each in replaced:
        pieces += [text[done : each.start], each.original]
        done = each.start + each.length
    return "".join([*pieces, text[done:]])


def restore_placeholders(text: str, forms: Mapping[str, str]) -> tuple[str, int]:
    """Return a text with a form instead of each placeholder, and how many there were.

    Args:
        text: any text with placeholders.
        forms: the form of each placeholder.
    """
    if not forms:
        return text, 0
    longest_first = sorted(forms, key=lambda placeholder: (-len(placeholder), placeholder))
    pattern = re.compile("|".join(map(re.escape, longest_first)))
    return pattern.subn(lambda match: forms[match[0]], text)
