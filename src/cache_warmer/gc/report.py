"""Writes what a collection found or did, as a table for people and as JSON for programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cache_warmer.gc.plan import Going, Kind
from cache_warmer.gc.retention import GcPlan
from model_cache.check.report import aligned, human_bytes
from model_cache.reasons import Reason


@dataclass(frozen=True, slots=True)
class CollectReport:
    """A collection, whether it was applied, and the names of the references that were dropped."""

    collection: GcPlan
    applied: bool
    forgotten: tuple[str, ...]


def to_json(report: CollectReport) -> dict[str, object]:
    """Return the document of `collect --format json`."""
    collection = report.collection
    kept, promises = collection.kept, collection.promises
    return {
        "reason": str(Reason.OK),
        "applied": report.applied,
        "bytes": collection.bytes,
        "generations": [
            {
                "generation": one.generation,
                "kept": one.generation in kept.why,
                "why": list(kept.why.get(one.generation, ())),
            }
            for one in sorted(promises.manifests, key=lambda one: -one.written)
        ],
        "references": [
            {
                "name": reference.name,
                "generation": reference.generation,
                "live": path not in kept.references,
            }
            for path, reference in promises.references.items()
        ],
        "forgotten": list(report.forgotten),
        "going": [
            {"kind": str(one.kind), "path": str(one.path), "bytes": one.bytes, "why": one.why}
            for one in collection.going
        ],
        "held": [{"path": str(one.path), "why": one.why} for one in collection.held],
    }


def to_table(report: CollectReport, command: str) -> str:
    """Return the generations, what would be freed, what stays for others, and the verdict."""
    collection = report.collection
    blocks = []
    if collection.promises.manifests:
        blocks.append(aligned(_generations(collection)))
    if collection.going:
        blocks.append(aligned(_going(collection), right={1, 2}))
    if dead := _dead_references(collection):
        gone = (
            f"goes: the word that {name} left of what it needs, because its Deployment is gone"
            for name in dead
        )
        blocks.append("\n".join(gone))
    if collection.held:
        blocks.append("\n".join(f"stays: {one.path}: {one.why}" for one in collection.held))
    blocks.append(_verdict(report, command))
    return "\n\n".join(blocks)


def _generations(collection: GcPlan) -> list[tuple[str, ...]]:
    why: Mapping[str, tuple[str, ...]] = collection.kept.why
    rows: list[tuple[str, ...]] = [("GENERATION", "MODELS", "NEEDED BY")]
    for one in sorted(collection.promises.manifests, key=lambda one: -one.written):
        needed = ", ".join(why.get(one.generation, ("nobody",)))
        rows.append((one.generation[:12], str(len(one.digests)), needed))
    return rows


def _dead_references(collection: GcPlan) -> list[str]:
    references, dead = collection.promises.references, collection.kept.references
    return [reference.name for path, reference in references.items() if path in dead]


def _going(collection: GcPlan) -> list[tuple[str, ...]]:
    """A line for what goes of a repository, and one for each thing elsewhere; JSON has each file."""
    groups: dict[Path, list[Going]] = {}
    for one in collection.going:
        groups.setdefault(_group(one), []).append(one)
    rows: list[tuple[str, ...]] = [("GOES", "COUNT", "FREES", "WHY")]
    for path, things in groups.items():
        why = ", ".join(dict.fromkeys(one.why for one in things))
        rows.append((str(path), str(len(things)), human_bytes(sum(one.bytes for one in things)), why))
    return [*rows, ("in all", str(len(collection.going)), human_bytes(collection.bytes), "")]


def _group(one: Going) -> Path:
    if one.kind not in (Kind.BLOB, Kind.FILE, Kind.LIST):
        return one.path
    return next((folder for folder in one.path.parents if folder.name.startswith("models--")), one.path)


def _verdict(report: CollectReport, command: str) -> str:
    collection = report.collection
    forgotten = f"; dropped: {', '.join(report.forgotten)}" if report.forgotten else ""
    if not collection.going and not collection.kept.going and not collection.kept.references:
        return f"OK: nothing to collect{forgotten}"
    if report.applied:
        return f"OK: {human_bytes(collection.bytes)} freed{forgotten}"
    return f"OK: {human_bytes(collection.bytes)} could be freed{forgotten}. Nothing was deleted: `{command}` does it"
