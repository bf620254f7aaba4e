"""Notes of `warm`, `repair` and `verify` about prepared forms, which none of them can fetch.

A form is made from a model by `qda-worker prepare`. A catalog that asks for one that is missing or damaged leaves its
workers without that model, so the commands that look after the cache say so, with the command that makes it. Their exit
codes are about the generation alone.
"""

import contextlib
from collections.abc import Mapping
from functools import partial
from typing import TextIO

from cache_warmer.settings import Settings
from model_cache.check.prepared_forms import FormReport, check_forms
from model_cache.check.types import Tier
from model_cache.cli.options import find_places, prepare_command
from model_cache.errors import ModelCacheError
from model_cache.formatting import printable


def read_form_reports(settings: Settings, environ: Mapping[str, str], tier: Tier) -> tuple[FormReport, ...]:
    """Return the result of a check of the prepared forms of the settings' models.

    Raises:
        ModelCacheError: the catalog cannot be read, or the cache has no place.
    """
    catalog, lock = settings.load_catalog()
    options = settings.options
    models = catalog.select(options.models) if options.models else catalog.models
    places = find_places(options.cache, environ)
    return check_forms(models, places, tier, partial(prepare_command, options, environ), lock)


def write_form_notes(settings: Settings, environ: Mapping[str, str], tier: Tier, err: TextIO) -> None:
    """Write a note about each form that is missing or damaged. Never raises.

    Args:
        settings: of the command.
        environ: the environment.
        tier: `DEEP` reads every file of the forms.
        err: where the notes go.
    """
    with contextlib.suppress(ModelCacheError, OSError):
        for report in read_form_reports(settings, environ, tier):
            for problem in report.problems[:1]:
                note = f"{problem.file} {problem.detail}; a form cannot be fetched. Remedy: {problem.remedy}"
                err.write(printable(f"cache-warmer: note: {report.key} in {report.precision}: {note}") + "\n")
