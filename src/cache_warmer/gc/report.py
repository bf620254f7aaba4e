"""Format the result of a garbage collection: as a table for people, and as JSON for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cache_warmer.gc.plan import Deletion, GcPlan, ItemKind
from cache_warmer.gc.roots import PublishedManifest
from model_cache.formatting import align_columns, human_bytes, printable
from model_cache.json_values import to_json_value
from model_cache.reasons import Reason


@dataclass(frozen=True, slots=True)
class CollectReport:
    """The result of one run of `collect`.

    Attributes:
        plan: the plan that was found.
        applied: whether the plan was carried out.
        forgotten: names of the references that `--forget` dropped.
    """

    plan: GcPlan
    applied: bool
    forgotten: tuple[str, ...]


def to_json(report: CollectReport) -> dict[str, object]:
    """Return the document of `collect --format json`."""
    plan = report.plan
    retention = plan.retention
    return {
        "reason": str(Reason.OK),
        "applied": report.applied,
        "bytes": plan.freed_bytes,
        "generations": [
            {
                "generation": manifest.generation,
                "kept": manifest.generation in retention.retained,
                "why": list(retention.retained.get(manifest.generation, ())),
            }
            for manifest in _newest_first(plan)
        ],
        "references": [
            {
                "name": reference.name,
                "generation": reference.generation,
                "live": path not in retention.dead_references,
                "file": path.name,
                "cluster": reference.cluster,
                "host": reference.host,
            }
            for path, reference in plan.roots.references.items()
        ],
        "forgotten": list(report.forgotten),
        "going": to_json_value(plan.deletions),
        "held": to_json_value(plan.holds),
    }


def to_table(report: CollectReport, command: str) -> str:
    """Return the tables of generations, deletions and holds, and the verdict.

    Args:
        report: the report of the run.
        command: the command line that carries out the plan, for the verdict.
    """
    plan = report.plan
    blocks = []
    if plan.roots.manifests:
        blocks.append(align_columns(_generation_rows(plan)))
    if plan.deletions:
        blocks.append(align_columns(_deletion_rows(plan), right={1, 2}))
    if dead := _dead_references(plan):
        lines = [f"delete: the reference {name}: its Deployment is gone" for name in dead]
        blocks.append("\n".join(map(printable, lines)))
    if plan.holds:
        blocks.append("\n".join(printable(f"keep: {hold.path}: {hold.why}") for hold in plan.holds))
    blocks.append(_verdict(report, command))
    return "\n\n".join(blocks)


def _newest_first(plan: GcPlan) -> Sequence[PublishedManifest]:
    return sorted(plan.roots.manifests, key=lambda manifest: -manifest.written)


def _generation_rows(plan: GcPlan) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("GENERATION", "MODELS", "NEEDED BY")]
    for manifest in _newest_first(plan):
        needed_by = ", ".join(plan.retention.retained.get(manifest.generation, ("-",)))
        rows.append((manifest.generation[:12], str(len(manifest.digests)), needed_by))
    return rows


def _deletion_rows(plan: GcPlan) -> list[tuple[str, ...]]:
    """Return one row for each repository, and one for each other item. The JSON document lists every file."""
    groups: dict[Path, list[Deletion]] = {}
    for deletion in plan.deletions:
        groups.setdefault(_group(deletion), []).append(deletion)
    rows: list[tuple[str, ...]] = [("DELETE", "COUNT", "FREES", "WHY")]
    for path, deletions in groups.items():
        why = ", ".join(dict.fromkeys(deletion.why for deletion in deletions))
        size = human_bytes(sum(deletion.bytes for deletion in deletions))
        rows.append((str(path), str(len(deletions)), size, why))
    return [*rows, ("total", str(len(plan.deletions)), human_bytes(plan.freed_bytes), "")]


def _group(deletion: Deletion) -> Path:
    """Return the repository that a file belongs to; the path itself for other items."""
    if deletion.kind not in (ItemKind.BLOB, ItemKind.FILE, ItemKind.LIST):
        return deletion.path
    return next(
        (folder for folder in deletion.path.parents if folder.name.startswith("models--")), deletion.path
    )


def _dead_references(plan: GcPlan) -> list[str]:
    dead = plan.retention.dead_references
    return [reference.name for path, reference in plan.roots.references.items() if path in dead]


def _verdict(report: CollectReport, command: str) -> str:
    plan = report.plan
    forgotten = f"; dropped: {', '.join(report.forgotten)}" if report.forgotten else ""
    if not plan.deletions and not plan.retention.expired_manifests and not plan.retention.dead_references:
        return f"OK: nothing to collect{forgotten}"
    size = human_bytes(plan.freed_bytes)
    if report.applied:
        return f"OK: {size} freed{forgotten}"
    return f"OK: {size} could be freed{forgotten}. Nothing was deleted: `{command}` does it"
