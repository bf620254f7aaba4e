"""The explanation of each reason: docs/reasons.md, of which the package has a copy (a test compares them).

The page has a section for each reason, under the reason as its heading. It is read when an error is printed, so it must
be cheap, and never be the cause of another error: without the file there are no explanations.

Every program shows where a reason is explained in one of two ways: text has the line of `hint_line` below the error,
and JSON has `help` in each object with the reason of a failure (`with_help`).
"""

import re
from functools import cache
from pathlib import Path
from typing import Final

from model_cache.formatting import printable_lines
from model_cache.json_values import Json, to_json_value
from model_cache.reasons import Reason

_PAGE: Final = Path(__file__).with_name("data") / "reasons.md"
_SELF_EXPLANATORY: Final = frozenset({Reason.OK, Reason.USAGE, Reason.INTERRUPTED, "ARGUMENT_INVALID"})
_HEADING: Final = re.compile(r"^## ([A-Z0-9_]+)\n", re.MULTILINE)


@cache
def read_explanations() -> dict[str, str]:
    """Return the section of each reason as Markdown, without its heading, in the order of the page."""
    try:
        text = _PAGE.read_text("utf-8")
    except OSError:
        return {}
    _, *parts = _HEADING.split(text)
    return {reason: section.strip() for reason, section in zip(parts[::2], parts[1::2], strict=True)}


def explanation_hint(reason: str) -> str:
    """Return the command and the anchor of the page that explain a reason; empty for a reason of another program."""
    if reason not in read_explanations():
        return ""
    return f"cache-warmer explain {reason} (docs/reasons.md#{reason.lower()})"


def hint_line(reason: str) -> str:
    """Return the line to print below an error, with its line break.

    It is empty for a reason of another program, and for reasons whose messages say all: that an option or an argument
    is wrong, and that a program was interrupted.
    """
    hint = explanation_hint(reason)
    return f"more: {hint}\n" if hint and reason not in _SELF_EXPLANATORY else ""


def error_lines(program: str, message: str, reason: str) -> str:
    """Return an error as a program prints it to stderr: the message, and the line of `hint_line`."""
    return f"{program}: {printable_lines(message)}\n{hint_line(reason)}"


def with_help(document: object) -> Json:
    """Return the JSON form of a document with `help` in each object whose `reason` is that of a failure.

    `help` is the value of `explanation_hint`. It follows `remedy`, or `reason` in an object without one. An object
    whose reason is `OK`, or a word of another program, has none.
    """
    return _with_help(to_json_value(document))


def _with_help(value: Json) -> Json:
    if isinstance(value, list):
        return [_with_help(each) for each in value]
    if not isinstance(value, dict):
        return value
    fields = {name: _with_help(each) for name, each in value.items()}
    reason = fields.get("reason")
    hint = explanation_hint(reason) if isinstance(reason, str) and reason != Reason.OK else ""
    if not hint:
        return fields
    before = "remedy" if "remedy" in fields else "reason"
    shown: dict[str, Json] = {}
    for name, each in fields.items():
        shown[name] = each
        if name == before:
            shown["help"] = hint
    return shown
