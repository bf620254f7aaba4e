"""What a command of `cache-warmer` is to the command line: its name, its options, and what runs it."""

import argparse
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, TextIO

from cache_warmer.options import HUB, REFERENCE, STALL_TIMEOUT, WAIT, WHEEL_BASE
from cache_warmer.settings import Settings
from model_cache.cli.options import Option, add_shared_options, read_shared_options
from model_cache.cli.parser import OptionParser

# Options of the commands that ask a hub.
SOURCES: Final[tuple[Option[Any], ...]] = (HUB, WHEEL_BASE, STALL_TIMEOUT)


@dataclass(frozen=True, slots=True)
class Invocation:
    """A command as it was called, and the world it was called in."""

    arguments: argparse.Namespace
    environ: MutableMapping[str, str]
    out: TextIO
    err: TextIO

    def value(self, option: Option[Any]) -> Any:  # an option's own type
        """Return an option from flag, variable or default. Raises `UsageError`."""
        return option.value(self.arguments, self.environ)

    def settings(self) -> Settings:
        """Return the settings that this command's options say. Raises `UsageError`."""
        standard = Settings(options=read_shared_options(self.arguments, self.environ))
        return Settings(
            options=standard.options,
            endpoint=self._or(HUB, standard.endpoint),
            wheel_base=self._or(WHEEL_BASE, standard.wheel_base),
            stall_timeout=self._or(STALL_TIMEOUT, standard.stall_timeout),
            wait=self._or(WAIT, standard.wait),
            reference=self._or(REFERENCE, standard.reference),
            probe=not getattr(self.arguments, "no_probe", False),
        )

    def _or(self, option: Option[Any], default: Any) -> Any:  # the same
        there = hasattr(self.arguments, option.flag.lstrip("-").replace("-", "_"))
        return self.value(option) if there else default


@dataclass(frozen=True, slots=True)
class Command:
    """One command.

    Attributes:
        name, help: as `cache-warmer --help` lists it.
        run: does it and returns the exit code; raises `ModelCacheError`.
        options: its own, beside the shared ones.
        shared: whether it takes the options that all programs share.
        add: adds switches and arguments that are no `Option`.
    """

    name: str
    help: str
    run: Callable[[Invocation], int]
    options: tuple[Option[Any], ...] = ()
    shared: bool = True
    add: Callable[[OptionParser], None] = lambda _: None

    def add_to(self, parser: OptionParser) -> None:
        """Let a parser take its options."""
        self.add(parser)
        if self.shared:
            add_shared_options(parser)
        for option in self.options:
            option.add_to(parser)
