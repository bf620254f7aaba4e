"""`cache-warmer explain`: print what a reason means, its causes and remedies. Needs no cache and no network."""

import difflib
import re
from argparse import ArgumentParser
from typing import Final

from cache_warmer.commands.command import Invocation
from model_cache.cli.options import FORMAT, OutputFormat
from model_cache.errors import UsageError
from model_cache.explanations import read_explanations
from model_cache.json_values import to_json_text

# A link of Markdown to another page of the documentation.
_LINK: Final = re.compile(r"\[([^\]]+)\]\(([^):]+)\)")


def add_explain_arguments(parser: ArgumentParser) -> None:
    """Add the reason."""
    parser.add_argument(
        "reason", nargs="?", metavar="REASON", help="a reason, such as NO_SPACE; without it, all are listed"
    )


def run_explain(invocation: Invocation) -> int:
    """Print the section of a reason, or the list of all, and return 0.

    Raises:
        UsageError: there is no such reason.
    """
    explanations = read_explanations()
    given = str(invocation.arguments.reason or "").strip().upper().replace("-", "_")
    if given and given not in explanations:
        near = [reason for reason in explanations if given in reason]
        near = near or difflib.get_close_matches(given, explanations, n=3)
        known = f"did you mean {' or '.join(near)}?" if near else "`cache-warmer explain` lists them all"
        raise UsageError(f'there is no reason "{invocation.arguments.reason}"', known)
    chosen = {given: explanations[given]} if given else explanations
    if invocation.value(FORMAT) is OutputFormat.JSON:
        rows = [{"reason": reason, "explanation": _plain(text)} for reason, text in chosen.items()]
        print(to_json_text(rows[0] if given else rows), file=invocation.out)
    elif given:
        print(f"{given}\n\n{_plain(chosen[given])}", file=invocation.out)
    else:
        width = max(map(len, chosen), default=0)
        for reason, text in chosen.items():
            print(f"{reason:<{width}}  {_first_sentence(text)}", file=invocation.out)
    return 0


def _plain(text: str) -> str:
    """Return Markdown for a terminal: links as their page, no emphasis."""
    return _LINK.sub(r"\1 (docs/\2)", text).replace("**", "")


def _first_sentence(text: str) -> str:
    """Return what the reason means, without its codes, up to the first full stop."""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    meaning = re.sub(r"^(Exit code|gRPC status)[^.]*\. ", "", paragraph)
    return _plain(meaning.partition(". ")[0].rstrip("."))
