"""``cache-warmer plan``: says what ``warm`` would do, and ends with the preflight's verdict."""

import json
from collections.abc import MutableMapping
from typing import TextIO

from cache_warmer.disk import volume
from cache_warmer.disk.preflight import preflight, write_probe
from cache_warmer.plan import make_plan, to_json, to_table
from cache_warmer.settings import Settings
from cache_warmer.survey import incomplete, survey
from model_cache.catalogs.digest import generation
from model_cache.checking.check import check
from model_cache.places import HOST
from model_cache.programs.options import OutputFormat


def plan_command(settings: Settings, environ: MutableMapping[str, str], out: TextIO, _err: TextIO) -> int:
    """Print the plan and return the verdict's exit code. Raises ``ModelCacheError``."""
    catalog, lock = settings.catalog()
    places = settings.places(environ)
    keys = settings.options.models
    models = catalog.select(keys) if keys else catalog.models
    sources = settings.sources(places, lock, environ, settings.retry)
    try:
        unwell = incomplete(check(models, places, whole_catalog=not keys))
        surveyed = survey(models, unwell, places, sources, lock, None)
        verdict = preflight(
            [one.room for one in surveyed], places, probe=write_probe if settings.probe else None
        )
    except OSError as error:
        raise volume.of_os_error(error, places.own.path, on_host=places.label == HOST) from error
    plan = make_plan(generation(catalog.models), surveyed, verdict)
    if settings.options.format is OutputFormat.JSON:
        out.write(json.dumps(to_json(plan), indent=2, ensure_ascii=False) + "\n")
    else:
        out.write(to_table(plan) + "\n")
    return verdict.reason.exit_code
