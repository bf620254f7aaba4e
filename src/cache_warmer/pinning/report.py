"""Format what `lock` did, or what `lock --check` found: as a table for people, and as JSON for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cache_warmer.pinning.pins import Drift, PinnedCatalog, overall_reason
from model_cache.catalog.lock import LockedModel
from model_cache.explanations import hint_line
from model_cache.formatting import align_columns, human_bytes
from model_cache.json_values import to_json_value
from model_cache.reasons import Reason


@dataclass(frozen=True, slots=True)
class LockReport:
    """The result of one run of `lock`.

    Attributes:
        catalog, lock: the two files.
        catalog_changed, lock_changed: whether each was written.
        pinned: what was pinned.
    """

    catalog: Path
    lock: Path
    catalog_changed: bool
    lock_changed: bool
    pinned: PinnedCatalog


def lock_json(report: LockReport) -> dict[str, object]:
    """Return the document of `lock --format json`."""
    return {
        "reason": str(Reason.OK),
        "catalog": str(report.catalog),
        "lock": str(report.lock),
        "catalog_changed": report.catalog_changed,
        "lock_changed": report.lock_changed,
        "models": [
            {
                "key": key,
                "source": locked.source,
                "revision": locked.revision,
                "resolved_from": locked.resolved_from,
                "moved": key in report.pinned.moved,
                "files": len(locked.files),
                "bytes": _total_bytes(locked),
                "whole_repository_bytes": locked.whole_repository_bytes,
            }
            for key, locked in report.pinned.locked.items()
        ],
    }


def lock_table(report: LockReport) -> str:
    """Return a row for each model, then what was written."""
    rows = [("MODEL", "SOURCE", "REVISION", "FROM", "FILES", "SIZE")]
    for key, locked in report.pinned.locked.items():
        size = _total_bytes(locked)
        rows.append(
            (
                key,
                locked.source,
                locked.revision[:12] + (" (new)" if key in report.pinned.moved else ""),
                locked.resolved_from or "",
                str(len(locked.files)),
                "unknown" if size is None else human_bytes(size),
            )
        )
    written = [
        str(path)
        for path, changed in ((report.catalog, report.catalog_changed), (report.lock, report.lock_changed))
        if changed
    ]
    verdict = f"OK: wrote {' and '.join(written)}" if written else "OK: nothing changed"
    return f"{align_columns(rows, right={4, 5})}\n\n{verdict}"


def drift_json(catalog: str, drifts: Sequence[Drift]) -> dict[str, object]:
    """Return the document of `lock --check --format json`."""
    return {
        "reason": str(overall_reason(drifts)),
        "catalog": catalog,
        "models": to_json_value(drifts),
    }


def drift_table(catalog: str, drifts: Sequence[Drift]) -> str:
    """Return a row for each model, the details of those that changed, and the verdict."""
    rows = [("MODEL", "SOURCE", "BRANCH", "PINNED", "NOW", "STATE")]
    rows += [
        (
            drift.key,
            drift.source,
            drift.reference or "",
            drift.pinned[:12],
            (drift.now or "")[:12],
            str(drift.reason),
        )
        for drift in drifts
    ]
    blocks = [align_columns(rows)]
    details = [f"{drift.key}: {drift.detail}" for drift in drifts if drift.detail]
    details += [
        f"{drift.key}: the lock has no entry for this revision; `cache-warmer lock` writes it"
        for drift in drifts
        if not drift.locked
    ]
    if details:
        blocks.append("\n".join(details))
    verdict = f"{_verdict(catalog, drifts)}\n{hint_line(overall_reason(drifts))}".rstrip()
    return "\n\n".join([*blocks, verdict])


def _verdict(catalog: str, drifts: Sequence[Drift]) -> str:
    reason = overall_reason(drifts)
    if reason is Reason.OK:
        return f"OK: {catalog}: {len(drifts)} models are as upstream has them"
    if reason is Reason.CATALOG_DRIFTED:
        moved = ", ".join(drift.key for drift in drifts if drift.reason is reason)
        return (
            f"{reason}: {catalog}: upstream moved: {moved}. Remedy: try the new revision, then take it over with "
            "`cache-warmer lock --update --model KEY`; until then the pinned one is served"
        )
    return f"{reason}: {catalog}: not all sources could be queried. Remedy: see the lines above"


def _total_bytes(locked: LockedModel) -> int | None:
    sizes = [file.bytes for file in locked.files.values()]
    return None if None in sizes else sum(size or 0 for size in sizes)
