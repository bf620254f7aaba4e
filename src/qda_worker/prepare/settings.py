"""The options of `qda-worker prepare`. Nothing heavy is imported here."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from model_cache.catalog.catalog import Precision
from model_cache.cli.options import OutputFormat, SharedOptions, add_shared_options, read_shared_options
from model_cache.cli.parser import OptionParser
from model_cache.errors import UsageError
from qda_worker.cpu import CpuBudget, cpu_budget
from qda_worker.serve_options import THREADS

_PRECISIONS: Final = (Precision.BF16, Precision.INT8)


@dataclass(frozen=True, slots=True)
class PrepareSettings:
    """The options of `prepare`.

    Attributes:
        shared: catalog, cache and log level.
        key: of the model.
        precision: of the form.
        out: folder that the form is written into.
        texts: file with the texts of the accuracy gate, one a line; None: the shipped ones.
        cpu: the number of threads.
        failure: file for the reason if no form is made, which is then no failure of the program; None: it fails.
    """

    shared: SharedOptions
    key: str
    precision: Precision
    out: Path
    texts: Path | None
    cpu: CpuBudget
    failure: Path | None = None

    @property
    def as_json(self) -> bool:
        """Whether the result is printed as JSON."""
        return self.shared.format is OutputFormat.JSON


def add_prepare_options(parser: OptionParser) -> None:
    """Add all options of `prepare` to a parser."""
    parser.add_argument("--model", required=True, metavar="KEY", help="key of the model in the catalog")
    parser.add_argument(
        "--precision",
        required=True,
        choices=[str(precision) for precision in _PRECISIONS],
        metavar="bf16|int8",
        help="number format of the form",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="folder to write the form into; created if it is missing, else empty",
    )
    parser.add_argument(
        "--texts",
        metavar="FILE",
        help="texts of the accuracy gate, one a line, in UTF-8 (default: the German texts inside the package)",
    )
    parser.add_argument(
        "--failure",
        metavar="FILE",
        help="if no form can be made, write the reason into FILE and exit with 0: `cache-warmer publish --all` reports "
        "it",
    )
    add_shared_options(parser, with_models=False)
    THREADS.add_to(parser)


def read_prepare_settings(arguments: argparse.Namespace, environ: Mapping[str, str]) -> PrepareSettings:
    """Read the settings from parsed arguments and the environment.

    Raises:
        UsageError: an option or a variable has a wrong value.
    """
    for name in ("out", "texts", "model", "failure"):
        if (value := getattr(arguments, name)) is not None and (not value or "\x00" in value):
            raise UsageError(
                f"--{name}: found an empty value" if not value else f"--{name}: found a NUL", "give a name"
            )
    shared = read_shared_options(
        argparse.Namespace(**{**vars(arguments), "model": [arguments.model]}), environ
    )
    return PrepareSettings(
        shared=shared,
        key=arguments.model,
        precision=Precision(arguments.precision),
        out=Path(arguments.out),
        texts=Path(arguments.texts) if arguments.texts else None,
        cpu=cpu_budget(environ, threads=THREADS.value(arguments, environ)),
        failure=Path(arguments.failure) if arguments.failure else None,
    )


def require_prepare_extra(precision: Precision) -> None:
    """Check that the packages that make a form are installed, without importing them.

    Raises:
        UsageError: a package is missing.
    """
    needed = ("nncf", "openvino") if precision is Precision.INT8 else ()
    if missing := [package for package in needed if find_spec(package) is None]:
        raise UsageError(
            f"{precision} needs Python packages that are not installed: {', '.join(missing)}",
            "install the extra prepare: pip install 'qda-worker[worker,prepare]'",
        )
