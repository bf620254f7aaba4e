"""Writes what `lock` did, or what `lock --check` found, as a table for people and as JSON for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cache_warmer.pinning.pins import Drift, Pinned, overall
from model_cache.catalog.lock import LockedModel
from model_cache.check.report import aligned, human_bytes
from model_cache.reasons import Reason


@dataclass(frozen=True, slots=True)
class LockReport:
    """The two files, whether each was written, and what was pinned."""

    catalog: Path
    lock: Path
    catalog_changed: bool
    lock_changed: bool
    pinned: Pinned


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
                "bytes": _bytes(locked),
                "whole_repository_bytes": locked.whole_repository_bytes,
            }
            for key, locked in report.pinned.locked.items()
        ],
    }


def lock_table(report: LockReport) -> str:
    """Return a line a model, then what was written."""
    rows = [("MODEL", "SOURCE", "REVISION", "FROM", "FILES", "SIZE")]
    for key, locked in report.pinned.locked.items():
        size = _bytes(locked)
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
    said = f"OK: wrote {' and '.join(written)}" if written else "OK: nothing changed"
    return f"{aligned(rows, right={4, 5})}\n\n{said}"


def drift_json(catalog: str, drifts: Sequence[Drift]) -> dict[str, object]:
    """Return the document of `lock --check --format json`."""
    return {
        "reason": str(overall(drifts)),
        "catalog": catalog,
        "models": [
            {
                "key": drift.key,
                "source": drift.source,
                "reason": str(drift.reason),
                "reference": drift.reference or None,
                "pinned": drift.pinned,
                "now": drift.now or None,
                "files_changed": [{"path": file.path, "change": file.change} for file in drift.files_changed],
                "locked": drift.locked,
                "detail": drift.detail,
            }
            for drift in drifts
        ],
    }


def drift_table(catalog: str, drifts: Sequence[Drift]) -> str:
    """Return a line a model, what was seen of those that moved, and the verdict."""
    rows = [("MODEL", "SOURCE", "BRANCH", "PINNED", "NOW", "STATE")]
    rows += [
        (drift.key, drift.source, drift.reference, drift.pinned[:12], drift.now[:12], str(drift.reason))
        for drift in drifts
    ]
    blocks = [aligned(rows)]
    said = [f"{drift.key}: {drift.detail}" for drift in drifts if drift.detail]
    said += [
        f"{drift.key}: the lock has no facts of this revision; `cache-warmer lock` writes them"
        for drift in drifts
        if not drift.locked
    ]
    if said:
        blocks.append("\n".join(said))
    return "\n\n".join([*blocks, _verdict(catalog, drifts)])


def _verdict(catalog: str, drifts: Sequence[Drift]) -> str:
    reason = overall(drifts)
    if reason is Reason.OK:
        return f"OK: {catalog}: {len(drifts)} models are as upstream has them"
    if reason is Reason.CATALOG_DRIFTED:
        moved = ", ".join(drift.key for drift in drifts if drift.reason is reason)
        return (
            f"{reason}: {catalog}: upstream moved: {moved}. Remedy: try the new revision, then take it over with "
            "`cache-warmer lock --update --model KEY`; until then the pinned one is served"
        )
    return f"{reason}: {catalog}: not all sources could be asked. Remedy: see the lines above"


def _bytes(locked: LockedModel) -> int | None:
    sizes = [file.bytes for file in locked.files.values()]
    return None if None in sizes else sum(size or 0 for size in sizes)
