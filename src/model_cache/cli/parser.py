"""The argument parser of all programs, and suggestions for misspelled words.

argparse prints a usage text and exits when it cannot parse the arguments, which a reader of `--format json` cannot
follow. `OptionParser` raises `UsageError` instead: one line with a remedy, and a suggestion for a misspelled option,
command or choice. `model_cache.cli.program` prints it.

`closest_match` serves the catalog as well, for misspelled keys and values.
"""

import argparse
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NoReturn

from model_cache.errors import UsageError
from model_cache.urls import shown_value

DISTRIBUTION: Final = "qda-worker"

_DEFAULT_COLUMNS: Final = 100
_MIN_COLUMNS: Final = 40


def closest_match(word: str, allowed: Iterable[str]) -> str:
    """Return the allowed word that is most like `word`, or an empty string if none is similar.

    The comparison ignores case. If no word is similar by difflib's ratio, a word that begins with `word` is returned.
    """
    from difflib import get_close_matches  # here: only mistakes need it

    by_folded = {candidate.casefold(): candidate for candidate in allowed}
    # The cost grows with the square of the length, and no allowed word is longer.
    typed = word.casefold()[:100]
    matches = get_close_matches(typed, list(by_folded), n=1)
    if not matches and len(typed) > 2:
        matches = [candidate for candidate in by_folded if candidate.startswith(typed)]
    return by_folded[matches[0]] if matches else ""


class OptionParser(argparse.ArgumentParser):
    """`argparse.ArgumentParser` that raises `UsageError` and accepts no abbreviated options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"allow_abbrev": False, "formatter_class": _HelpFormatter, **kwargs})

    def add_version(self) -> None:
        """Add `--version`."""
        self.add_argument("--version", action=_VersionAction, help="print the version and exit")

    def add_completion(self, commands: "argparse._SubParsersAction[Any] | None" = None) -> None:
        """Add the command `completion`, or `--completion` to a program without commands."""
        about = "print the script with which a shell completes this program's options, and exit"
        options: dict[str, Any] = {
            "action": _CompletionAction,
            "choices": ["bash", "zsh", "fish"],
            "metavar": "bash|zsh|fish",
        }
        if commands is None:
            self.add_argument("--completion", help=about, **options)
            return
        added = commands.add_parser(
            "completion",
            help=about.removesuffix(", and exit"),
            description=f"Print the script with which a shell completes the commands and options of {self.prog}.",
        )
        added.add_argument("shell", of=self, help="the shell", **options)

    def parse_args(  # type: ignore[override]  # the overloads for a namespace of one's own are not needed
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> argparse.Namespace:
        """Return the parsed arguments.

        Raises:
            UsageError: the arguments cannot be parsed; the message names the first unknown one.
        """
        arguments, unknown = self.parse_known_args(args, namespace)
        if unknown:
            raise self._unknown_argument(unknown[0], getattr(arguments, "command", None))
        return arguments

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`; argparse calls this for every mistake that it finds."""
        raise UsageError(message, f"see `{self.prog} --help`")

    def all_options(self) -> Iterator[str]:
        """Return every option of this parser and of its commands."""
        for action in self._actions:
            yield from action.option_strings
            commands = action.choices if isinstance(action.choices, dict) else {}
            for parser in commands.values():
                yield from parser.all_options()

    def _unknown_argument(self, argument: str, command: str | None) -> UsageError:
        program = f"{self.prog} {command}" if command else self.prog
        remedy = f"see `{program} --help`"
        option = argument.partition("=")[0]
        if not option.startswith("-"):
            return UsageError(f'unexpected argument "{shown_value(argument)[:200]}"', remedy)
        known = list(self.all_options())
        if option in known:
            return UsageError(f"{command or self.prog} takes no {option}", remedy)
        guess = closest_match(option, known)
        hint = f"; did you mean {guess}?" if guess else ""
        is_name = option.strip("-").replace("-", "").replace("_", "").isalnum()
        shown = option if is_name else shown_value(argument)  # an address may have an = in its password
        return UsageError(f'unknown option "{shown[:200]}"{hint}', remedy)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Reject a value that is not a choice; argparse calls this, and its own message has no suggestion."""
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        guess = closest_match(str(value), choices)
        hint = f'; did you mean "{guess}"?' if guess else ""
        raise UsageError(
            f'unknown {action.metavar or action.dest} "{shown_value(str(value))[:200]}"{hint}',
            f"give one of: {', '.join(choices)}",
        )


class _HelpFormatter(argparse.HelpFormatter):
    """`argparse.HelpFormatter` that reads the terminal's width without `shutil`, which is slow to import."""

    def __init__(self, prog: str, *args: Any, **kwargs: Any) -> None:
        try:
            width = os.get_terminal_size().columns
        except (OSError, ValueError):  # stdout is not a terminal
            width = _DEFAULT_COLUMNS
        width = max(width - 2, _MIN_COLUMNS)
        super().__init__(prog, *args, **{"width": width, "max_help_position": 32, **kwargs})


class _CompletionAction(argparse.Action):
    """Prints the completion script of a parser, by default that of the option itself, and exits."""

    def __init__(self, *args: Any, of: argparse.ArgumentParser | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._of = of

    def __call__(self, parser: argparse.ArgumentParser, _: object, values: Any, *__: object) -> None:
        from model_cache.cli.completion import Shell, completion_script  # here: hardly ever needed

        print(completion_script(self._of or parser, Shell(values)), end="")
        parser.exit()


class _VersionAction(argparse.Action):
    """`--version` that looks the version up only when it is given."""

    def __init__(self, option_strings: Sequence[str], dest: str, help: str | None = None) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version  # here: slow to import

        program = parser.prog.split()[0]
        try:
            print(f"{program} {version(DISTRIBUTION)}")
        except PackageNotFoundError:
            print(f"{program} (run from source, not installed)")
        parser.exit()
