"""A command of `cache-warmer`: its entry in the command line, and one invocation of it."""

import argparse
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, TextIO

from cache_warmer.options import CA_BUNDLE, HUB, REFERENCE, STALL_TIMEOUT, WAIT, WHEEL_BASE
from cache_warmer.settings import Settings
from model_cache.cli.options import Option, add_shared_options, read_shared_options
from model_cache.cli.parser import OptionParser

# The options of the commands that send requests to a hub.
SOURCE_OPTIONS: Final[tuple[Option[Any], ...]] = (HUB, WHEEL_BASE, CA_BUNDLE, STALL_TIMEOUT)


@dataclass(frozen=True, slots=True)
class Invocation:
    """One call of a command.

    Attributes:
        arguments: as parsed; the values of options are still text.
        environ: the environment.
        out: where results go.
        err: where messages go.
    """

    arguments: argparse.Namespace
    environ: MutableMapping[str, str]
    out: TextIO
    err: TextIO

    def value(self, option: Option[Any]) -> Any:  # the option's own type
        """Return the value of an option, from flag, variable or default.

        Raises:
            UsageError: the value cannot be parsed.
        """
        return option.value(self.arguments, self.environ)

    def settings(self) -> Settings:
        """Return the settings; options that this command does not have keep their defaults.

        Raises:
            UsageError: a value cannot be parsed.
        """
        defaults = Settings(options=read_shared_options(self.arguments, self.environ))
        return Settings(
            options=defaults.options,
            endpoint=self._value_or(HUB, defaults.endpoint),
            wheel_base=self._value_or(WHEEL_BASE, defaults.wheel_base),
            stall_timeout=self._value_or(STALL_TIMEOUT, defaults.stall_timeout),
            wait=self._value_or(WAIT, defaults.wait),
            reference=self._value_or(REFERENCE, defaults.reference),
            ca_bundle=self._value_or(CA_BUNDLE, defaults.ca_bundle),
            probe=not getattr(self.arguments, "no_probe", False),
        )

    def _value_or(self, option: Option[Any], default: Any) -> Any:  # the option's own type
        has_option = hasattr(self.arguments, option.flag.lstrip("-").replace("-", "_"))
        return self.value(option) if has_option else default


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        name: as typed.
        help: what it does, for `cache-warmer --help`.
        run: Runs it and returns the exit code; raises `ModelCacheError`.
        options: its own options, beside the shared ones.
        shared: whether it takes the options that all programs share.
        add_arguments: Adds switches and arguments that are not an `Option`.
        format_action: of the shared --format, for a command that takes other formats too.
    """

    name: str
    help: str
    run: Callable[[Invocation], int]
    options: tuple[Option[Any], ...] = ()
    shared: bool = True
    add_arguments: Callable[[OptionParser], None] = lambda _: None
    format_action: type[argparse.Action] | str = "store"

    def add_to(self, parser: OptionParser) -> None:
        """Add all its arguments and options to a parser."""
        self.add_arguments(parser)
        if self.shared:
            add_shared_options(parser, format_action=self.format_action)
        for option in self.options:
            option.add_to(parser)
