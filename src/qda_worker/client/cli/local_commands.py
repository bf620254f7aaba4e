"""The commands that need no worker: `convert` and `cite` read a result file. Imports no gRPC."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Final

from model_cache.catalog.catalog import HuggingFaceSource
from model_cache.catalog.parse import load_catalog
from model_cache.errors import UsageError
from model_cache.formatting import printable_lines
from qda_worker.client.citation.citation import Licences, cite_as_bibtex, cite_as_text
from qda_worker.client.citation.result_files import read_computations
from qda_worker.client.cli.connection import Format
from qda_worker.client.cli.output_options import file_format
from qda_worker.client.cli.terminal import Terminal
from qda_worker.client.tables.conversion import convert
from qda_worker.client.tables.csv_table import csv_style
from qda_worker.client.tables.file_formats import FileFormat
from qda_worker.client.tables.refi_qda.package import no_source
from qda_worker.client.tables.refi_qda.source_files import sources_below


def run_local_command(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Run the command of the arguments and return its exit code.

    Raises:
        ModelCacheError: when an argument or a file is wrong, or the disk is full.
    """
    return _COMMANDS[arguments.command](arguments, terminal)


def _cite(arguments: argparse.Namespace, terminal: Terminal) -> int:
    computations = read_computations(Path(arguments.results))
    cite = cite_as_bibtex if arguments.format == "bibtex" else cite_as_text
    terminal.write(printable_lines(cite(computations, _licences())))
    return 0


def _licences() -> Licences:
    """Return the licences of the models in the built-in catalog."""
    found: dict[tuple[str, str], str] = {}
    for model in load_catalog(None).models:
        source = model.source
        if isinstance(source, HuggingFaceSource):
            found[source.repository, source.revision] = model.licence or ""
        else:
            found[source.package, source.version] = model.licence or ""
    return found


def _convert(arguments: argparse.Namespace, terminal: Terminal) -> int:
    target = Path(arguments.output)
    if target.exists() and not arguments.overwrite:
        raise UsageError(f"{target} exists", "replace it with --overwrite, or give another --output")
    form = file_format(target, Format.TABLE, given=False)
    if form is FileFormat.JSONL:
        raise UsageError(
            f"{target} is no table", "give a name that ends .csv, .xlsx, .parquet, .qdpx, .qdc or .conllu"
        )
    if arguments.sources and not Path(arguments.sources).is_dir():
        raise UsageError(f"--sources: {arguments.sources} is no folder", "give the folder of the sources")
    read_source = sources_below(Path(arguments.sources)) if arguments.sources else no_source
    convert(Path(arguments.results), target, form, csv_style(arguments.delimiter), read_source)
    if not arguments.quiet:
        terminal.report(f"{target} is written")
    return 0


_COMMANDS: Final[dict[str, Callable[[argparse.Namespace, Terminal], int]]] = {
    "cite": _cite,
    "convert": _convert,
}
