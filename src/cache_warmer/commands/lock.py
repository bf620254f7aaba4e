"""`cache-warmer lock`: pin a catalog and write its lock, or report what changed upstream since (`--check`).

Both files are replaced by rename: the lock first, then the catalog. If the run ends between the two, the lock describes
commits that the catalog does not name yet, which readers ignore; the next run completes it.
"""

from pathlib import Path
from typing import Final

from cache_warmer.commands.command import Invocation
from cache_warmer.disk.atomic import replace_file
from cache_warmer.pinning.pins import PinnedCatalog, Pinner, find_drift, overall_reason
from cache_warmer.pinning.report import LockReport, drift_json, drift_table, lock_json, lock_table
from cache_warmer.pinning.upstream import UpstreamMetadata
from model_cache.catalog.lock import dump_lock, load_lock, lock_document, lock_path
from model_cache.catalog.parse import BUILT_IN_CATALOG, BUILT_IN_ORIGIN, read_catalog_text
from model_cache.cli.options import OutputFormat
from model_cache.cli.parser import OptionParser
from model_cache.errors import UsageError
from model_cache.explanations import with_help
from model_cache.file_io import read_small_file
from model_cache.json_values import parse_json_object, to_json_text
from model_cache.reasons import Reason

_BYTE_ORDER_MARK: Final = "\ufeff"


def add_lock_arguments(parser: OptionParser) -> None:
    """Add --check, --update and --output to a parser."""
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--check",
        action="store_true",
        help="change nothing; report what changed upstream, with exit code 13 (default: pin the catalog)",
    )
    mode.add_argument(
        "--update",
        action="store_true",
        help="also move pins that are commits to the newest commit of their branch (default: keep them)",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help="file for the pinned catalog, with its lock beside it (default: replace the catalog)",
    )


def run_lock(invocation: Invocation) -> int:
    """Pin the catalog, or check it with `--check`, and return the exit code.

    Raises:
        ModelCacheError: the options are wrong, a file cannot be read or written, or a source cannot be queried.
    """
    return _check(invocation) if invocation.arguments.check else _lock(invocation)


def _check(invocation: Invocation) -> int:
    settings = invocation.settings()
    if invocation.arguments.output is not None:
        raise UsageError("--check writes nothing, so it takes no --output", "leave one of the two out")
    catalog, lock = settings.load_catalog()
    keys = settings.options.models
    sources = settings.make_sources(settings.find_places(invocation.environ), None, invocation.environ)
    models = catalog.select(keys) if keys else catalog.models
    drifts = find_drift(models, lock, UpstreamMetadata(sources, settings.wheel_base))
    if settings.options.format is OutputFormat.JSON:
        text = to_json_text(with_help(drift_json(catalog.origin, drifts)))
    else:
        text = drift_table(catalog.origin, drifts)
    print(text, file=invocation.out)
    return overall_reason(drifts).exit_code


def _lock(invocation: Invocation) -> int:
    settings = invocation.settings()
    catalog = settings.options.catalog
    target = _target(catalog, invocation.arguments.output)
    origin = str(catalog) if catalog is not None else BUILT_IN_ORIGIN
    text = read_catalog_text(catalog)
    sources = settings.make_sources(settings.find_places(invocation.environ), None, invocation.environ)
    pinner = Pinner(
        UpstreamMetadata(sources, settings.wheel_base),
        sources.sha256_of,
        update=bool(invocation.arguments.update),
    )
    pinned = pinner.pin(text, origin, settings.options.models, load_lock(catalog))
    if read_catalog_text(catalog) != text:
        raise UsageError(f"{origin} was changed while its sources were queried", "run the same command again")
    report = _write(pinned, catalog, target)
    as_json = settings.options.format is OutputFormat.JSON
    print(to_json_text(lock_json(report)) if as_json else lock_table(report), file=invocation.out)
    return Reason.OK.exit_code


def _target(catalog: Path | None, output: str | None) -> Path:
    """Return the file for the pinned catalog."""
    if output is not None:
        path = Path(output)
        if not output or "\x00" in output or path.is_dir():
            raise UsageError(f'--output: found "{output[:200]}"', "give a file")
        return path
    if catalog is None:
        raise UsageError(
            "the catalog inside the package cannot be replaced",
            "give --catalog FILE, or --output FILE for a pinned copy of it",
        )
    return catalog


def _write(pinned: PinnedCatalog, catalog: Path | None, target: Path) -> LockReport:
    """Write the lock, then the catalog; see the module."""
    former = lock_path(catalog or BUILT_IN_CATALOG)
    before = (
        parse_json_object(read_small_file(former)) if former.exists() else None
    )  # `load_lock` has validated it
    content = dump_lock(lock_document(pinned.keys, pinned.locked, before))
    lock_changed = replace_file(lock_path(target), content)
    has_mark = catalog is not None and catalog.read_bytes().startswith(_BYTE_ORDER_MARK.encode())
    catalog_text = (_BYTE_ORDER_MARK if has_mark else "") + pinned.text
    catalog_changed = replace_file(target, catalog_text.encode())
    return LockReport(target, lock_path(target), catalog_changed, lock_changed, pinned)
