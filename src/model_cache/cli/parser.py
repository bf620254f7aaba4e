"""An argument parser whose mistakes are errors of ours: one line, a remedy, and a "did you mean".

argparse itself would print its usage and exit, which no JSON reader could follow.

Finds the word that a mistyped one was probably meant to be.
"""

import argparse
import os
from collections.abc import Iterable, Sequence
from typing import Any, Final, NoReturn

from model_cache.errors import UsageError


def nearest(word: str, allowed: Iterable[str]) -> str:
    """Return the allowed word most like `word`, or an empty string if none is near."""
    from difflib import get_close_matches  # here, not above: only mistakes pay for its import

    by_folded = {candidate.casefold(): candidate for candidate in allowed}
    typed = word.casefold()[:100]  # the cost grows with the square of the length; no allowed word is longer
    matches = get_close_matches(typed, list(by_folded), n=1)
    if not matches and len(typed) > 2:
        matches = [candidate for candidate in by_folded if candidate.startswith(typed)]
    return by_folded[matches[0]] if matches else ""


DISTRIBUTION: Final = "qda-worker"


class _Help(argparse.HelpFormatter):
    """Asks for the terminal's width itself: argparse's own way imports `shutil` at every start."""

    def __init__(self, prog: str, *args: Any, **kwargs: Any) -> None:
        try:
            width = os.get_terminal_size().columns
        except (OSError, ValueError):  # no terminal
            width = 100
        super().__init__(prog, *args, **{"width": max(width - 2, 40), "max_help_position": 32, **kwargs})


class OptionParser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` that raises `UsageError` and takes no abbreviated options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, "formatter_class": _Help, **kwargs})

    def add_version(self) -> None:
        """Accept `--version`."""
        self.add_argument("--version", action=_Version, help="print the version and exit")

    def parse_args(  # type: ignore[override]  # the overloads for a namespace of one's own are not needed
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        """Return the arguments. Raises `UsageError` that names the first unknown one."""
        arguments, unknown = self.parse_known_args(args, namespace)
        if unknown:
            self._refuse(unknown[0], getattr(arguments, "command", None))
        return arguments

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError` (called by argparse for all that it finds wrong)."""
        raise UsageError(message, f"see `{self.prog} --help`")

    def _refuse(self, unknown: str, command: str | None) -> NoReturn:
        option, remedy = (
            unknown.partition("=")[0],
            f"see `{' '.join(filter(None, (self.prog, command)))} --help`",
        )
        if not option.startswith("-"):
            raise UsageError(f'unexpected argument "{unknown[:200]}"', remedy)
        known = list(self.all_options())
        if option in known:
            raise UsageError(f"{command or self.prog} takes no {option}", remedy)
        guess = nearest(option, known)
        hint = f"; did you mean {guess}?" if guess else ""
        raise UsageError(f'unknown option "{option[:200]}"{hint}', remedy)

    def all_options(self) -> Iterable[str]:
        """Return every option of this parser and of its commands."""
        for action in self._actions:
            yield from action.option_strings
            commands = action.choices if isinstance(action.choices, dict) else {}
            for parser in commands.values():
                yield from parser.all_options()

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Refuse a value that is no choice (argparse calls this; its own message has no suggestion)."""
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        guess = nearest(str(value), choices)
        hint = f'; did you mean "{guess}"?' if guess else ""
        raise UsageError(
            f'unknown {action.metavar or action.dest} "{str(value)[:200]}"{hint}',
            f"give one of: {', '.join(choices)}",
        )


class _Version(argparse.Action):
    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version  # slow, and rarely asked for

        try:
            print(f"{parser.prog.split()[0]} {version(DISTRIBUTION)}")
        except PackageNotFoundError:
            print(f"{parser.prog.split()[0]} (run from source, not installed)")
        parser.exit()
