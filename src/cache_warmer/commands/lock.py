"""`cache-warmer lock`: pins a catalog and writes its lock, or says what moved upstream since."""

import json
from pathlib import Path
from typing import Final

from cache_warmer.commands.command import Invocation
from cache_warmer.disk.atomic import replace_file
from cache_warmer.pinning.pins import Pinned, Pinner, find_drift, overall
from cache_warmer.pinning.report import LockReport, drift_json, drift_table, lock_json, lock_table
from cache_warmer.pinning.upstream import Facts
from model_cache.catalog.lock import dump_lock, load_lock, lock_document, lock_path
from model_cache.catalog.parse import BUILT_IN_CATALOG, BUILT_IN_ORIGIN, read_catalog_text
from model_cache.cli.options import OutputFormat
from model_cache.cli.parser import OptionParser
from model_cache.errors import UsageError
from model_cache.reasons import Reason

_BOM: Final = "\ufeff"


def add_lock_switches(parser: OptionParser) -> None:
    """Let a parser accept --check, --update and --output."""
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--check", action="store_true", help="change nothing; say what moved upstream (status 13)"
    )
    what.add_argument(
        "--update",
        action="store_true",
        help="also move pins that are commits, to what their branch names now",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="write the pinned catalog there, and its lock beside it (default: in place)",
    )


def lock_command(called: Invocation) -> int:
    """Lock, or check, and return the exit code. Raises `ModelCacheError`."""
    return _check(called) if called.arguments.check else _lock(called)


def _check(called: Invocation) -> int:
    settings = called.settings()
    if called.arguments.output is not None:
        raise UsageError("--check writes nothing, so it takes no --output", "leave one of the two out")
    catalog, lock = settings.catalog()
    keys = settings.options.models
    drifts = find_drift(catalog.select(keys) if keys else catalog.models, lock, _facts(called))
    reason = overall(drifts)
    if settings.options.format is OutputFormat.JSON:
        called.out.write(json.dumps(drift_json(catalog.origin, drifts), indent=2, ensure_ascii=False) + "\n")
    else:
        called.out.write(drift_table(catalog.origin, drifts) + "\n")
    return reason.exit_code


def _lock(called: Invocation) -> int:
    settings, keys = called.settings(), called.settings().options.models
    catalog = settings.options.catalog
    target = _target(catalog, called.arguments.output)
    origin = str(catalog) if catalog is not None else BUILT_IN_ORIGIN
    text = read_catalog_text(catalog)
    sources = settings.sources(settings.places(called.environ), None, called.environ, settings.retry)
    pinning = Pinner(
        Facts(sources, settings.wheel_base), sources.sha256_of, update=bool(called.arguments.update)
    )
    pinned = pinning.pin(text, origin, keys, load_lock(catalog))
    if read_catalog_text(catalog) != text:
        raise UsageError(f"{origin} was changed while its sources were asked", "run the same command again")
    report = _write(pinned, catalog, target)
    if settings.options.format is OutputFormat.JSON:
        called.out.write(json.dumps(lock_json(report), indent=2, ensure_ascii=False) + "\n")
    else:
        called.out.write(lock_table(report) + "\n")
    return Reason.OK.exit_code


def _facts(called: Invocation) -> Facts:
    settings = called.settings()
    places = settings.places(called.environ)
    return Facts(settings.sources(places, None, called.environ, settings.retry), settings.wheel_base)


def _target(catalog: Path | None, output: str | None) -> Path:
    if output is not None:
        path = Path(output)
        if not output or "\x00" in output or path.is_dir():
            raise UsageError(f'--output: found "{output[:200]}"', "give a file")
        return path
    if catalog is None:
        raise UsageError(
            "the catalog inside the package is not written to",
            "give --catalog FILE, or --output FILE for a pinned copy of it",
        )
    return catalog


def _write(pinned: Pinned, catalog: Path | None, target: Path) -> LockReport:
    """Write the lock, then the catalog: between the two, the facts are of commits that no catalog names yet."""
    former = lock_path(catalog or BUILT_IN_CATALOG)
    before = json.loads(former.read_bytes()) if former.exists() else None  # load_lock has judged it
    content = dump_lock(lock_document(pinned.keys, pinned.locked, before))
    lock_changed = replace_file(lock_path(target), content)
    bom = _BOM if catalog is not None and catalog.read_bytes().startswith(_BOM.encode()) else ""
    catalog_changed = replace_file(target, (bom + pinned.text).encode())
    return LockReport(target, lock_path(target), catalog_changed, lock_changed, pinned)
