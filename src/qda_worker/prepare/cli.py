"""`qda-worker prepare`: find the model in the cache, make a form of it, and print the figures of its accuracy gate.

Progress goes to stderr, the result to stdout. Libraries print to stdout, too: nncf draws progress bars, which are
dropped while the form is made. File descriptor 1 leads to stderr meanwhile, for libraries in C++.
"""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from model_cache.catalog.catalog import Model
from model_cache.catalog.lock import load_lock
from model_cache.catalog.parse import load_catalog
from model_cache.cli.options import LogLevel, find_places, warmer_command
from model_cache.cli.program import raise_if_terminated, set_up_logging
from model_cache.errors import ModelCacheError, UsageError
from model_cache.explanations import error_lines, with_help
from model_cache.json_values import to_json_text
from model_cache.layout import model_path
from model_cache.places import Places
from model_cache.prepared_store import read_source_hashes
from model_cache.reasons import Reason
from qda_worker.prepare.prepare import GateFailed, PreparedResult, make_form
from qda_worker.prepare.settings import PrepareSettings
from qda_worker.prepare.texts import gate_texts

_PREFIX: Final = "qda-worker"


def prepare(settings: PrepareSettings, environ: Mapping[str, str]) -> int:
    """Make a form and print the result.

    Raises:
        ModelCacheError: the form cannot be made.
    """
    set_up_logging(str(settings.shared.log_level))
    quiet = settings.shared.log_level in (LogLevel.WARNING, LogLevel.ERROR)

    def report(line: str) -> None:
        raise_if_terminated()  # a variant that failed is left out, whatever the error was
        if not quiet:
            print(f"{_PREFIX}: {line}", file=sys.stderr, flush=True)

    model = load_catalog(settings.shared.catalog).model(settings.key)
    if model.task.uses_spacy:
        raise UsageError(
            f"{model.key} is a model of spaCy, which has no other precision than fp32",
            "prepare a model of another task",
        )
    texts = gate_texts(settings.texts)
    places = find_places(settings.shared.cache, environ)
    hashes = _source_hashes(model, places, settings, environ)
    try:
        with quiet_stdout(), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of libraries among themselves
            result = make_form(
                model, model_path(places, model), hashes, settings.precision, settings.out, texts,
                threads=settings.cpu.threads, report=report,
            )  # fmt: skip
    except GateFailed as error:
        if settings.as_json:
            print(to_json_text(with_help(_failed_document(error))))
            if settings.failure is None:
                sys.stderr.write(error_lines(_PREFIX, str(error), error.reason))
                return error.reason.exit_code
        raise
    print(to_json_text(_document(result, settings.out)) if settings.as_json else _table(result, settings.out))
    return 0


@contextlib.contextmanager
def quiet_stdout() -> Iterator[None]:
    """Drop what Python code prints inside the block, and let file descriptor 1 lead to stderr."""
    sys.stdout.flush()
    saved = os.dup(1)
    try:
        os.dup2(2, 1)
        with open(os.devnull, "w", encoding="utf-8") as nothing, contextlib.redirect_stdout(nothing):
            yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)


def _source_hashes(
    model: Model, places: Places, settings: PrepareSettings, environ: Mapping[str, str]
) -> Mapping[str, str]:
    hashes = read_source_hashes(model, places, load_lock(settings.shared.catalog))
    if hashes is None:
        warm = warmer_command(settings.shared, environ)
        raise ModelCacheError(
            f"model {model.key} is not complete in the cache {places.label}",
            f"run `{warm}`",
            reason=Reason.CACHE_INCOMPLETE,
        )
    return hashes


def _document(result: PreparedResult, out: Path) -> dict[str, Any]:
    form = result.form
    return {
        "reason": Reason.OK,
        "model": form.model,
        "precision": form.precision,
        "folder": out,
        "digest": result.digest,
        "bytes": form.bytes,
        "seconds": round(result.seconds, 1),
        "texts": form.gate.texts,
        "figures": form.gate.figures,
        "failed": result.failed,
        "unavailable": result.unavailable,
    }


def _failed_document(error: GateFailed) -> dict[str, Any]:
    return {
        "reason": error.reason,
        "message": error.message,
        "remedy": error.remedy,
        "failed": error.figures,
    }


def _table(result: PreparedResult, out: Path) -> str:
    form = result.form
    lines = [f"{'VARIANT':<16} {'FIGURE':<29} {'VALUE':>8} {'AT LEAST':>9}"]
    for variants, verdict in ((form.gate.figures, ""), (result.failed, "  left out")):
        for variant, figures in variants.items():
            for name, figure in figures.items():
                end = "" if figure.passed else "  FAILED"
                lines.append(
                    f"{variant:<16} {name:<29} {figure.value:>8.4f} {figure.threshold:>9g}{end or verdict}"
                )
    lines += [f"{variant:<16} left out: {reason}" for variant, reason in result.unavailable.items()]
    lines.append(
        f"{form.model} in {form.precision}: {form.bytes / 1e6:.0f} MB in {out}, {result.seconds:.0f} s, "
        f"{form.gate.texts} texts"
    )
    lines.append(f"Next: cache-warmer publish {out}")
    return "\n".join(lines)
