"""Says what moved upstream since a catalog was pinned, model by model. Asks; changes nothing."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from cache_warmer.artifacts.selection import expected, select
from cache_warmer.errors import ContentMismatch, HubError
from cache_warmer.hub.connection import RemoteFile
from cache_warmer.locking.facts import Facts
from model_cache.catalogs.catalog import HuggingFaceSource, Model, SpacySource
from model_cache.catalogs.lock import Lock, LockedModel
from model_cache.reasons import Reason

DEFAULT_BRANCH = "main"
"""Of every repository on a hub; what a pin without a branch of its own is compared with."""


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A selected file that differs between two commits: ``changed``, ``added`` or ``removed``."""

    path: str
    change: str


@dataclass(frozen=True, slots=True)
class Drift:
    """One model.

    Attributes:
        key, source: as in the catalog.
        reason: ``OK``, ``CATALOG_DRIFTED``, or why the source could not be asked.
        reference: the branch or tag that was asked; empty for a wheel.
        pinned, now: the commits, or the version of a wheel; ``now`` is empty if it is not known.
        files_changed: of those that the catalog selects.
        locked: whether the lock has facts of this revision.
        detail: what was seen, in a sentence.
    """

    key: str
    source: str
    reason: Reason
    reference: str
    pinned: str
    now: str
    files_changed: tuple[ChangedFile, ...]
    locked: bool
    detail: str


def find_drift(models: Sequence[Model], lock: Lock | None, facts: Facts) -> tuple[Drift, ...]:
    """Return what moved. A model whose source cannot be asked says so, and does not keep the others from it."""
    return tuple(_drift(model, _locked(model, lock), facts) for model in models)


def overall(drifts: Iterable[Drift]) -> Reason:
    """Return the first reason that is neither ``OK`` nor a drift; else ``CATALOG_DRIFTED``; else ``OK``."""
    reasons = [drift.reason for drift in drifts]
    failed = [reason for reason in reasons if reason not in (Reason.OK, Reason.CATALOG_DRIFTED)]
    drifted = [reason for reason in reasons if reason is Reason.CATALOG_DRIFTED]
    return next(iter([*failed, *drifted]), Reason.OK)


def changed_files(
    patterns: Sequence[str], before: Sequence[RemoteFile], after: Sequence[RemoteFile]
) -> tuple[ChangedFile, ...]:
    """Return how the files that these patterns select differ between two commits, in order of path."""
    old, new = _selected(patterns, before), _selected(patterns, after)
    return tuple(
        ChangedFile(path, "removed" if path not in new else "added" if path not in old else "changed")
        for path in sorted({*old, *new})
        if old.get(path) != new.get(path)
    )


def _drift(model: Model, locked: LockedModel | None, facts: Facts) -> Drift:
    source = model.source
    reference = ""
    if isinstance(source, HuggingFaceSource):
        reference = locked.resolved_from if locked is not None and locked.resolved_from else DEFAULT_BRANCH
    try:
        if isinstance(source, SpacySource):
            _demand_wheel(source, locked, facts)
            now, changed = source.version, tuple[ChangedFile, ...]()
        else:
            now, changed = _moved(source, reference, locked, facts)
    except HubError as error:
        return Drift(
            model.key, model.source_name, error.reason, reference, model.revision, "", (), locked is not None,
            f"{error.message}. Remedy: {error.remedy}",
        )  # fmt: skip
    moved = now != model.revision
    return Drift(
        model.key,
        model.source_name,
        Reason.CATALOG_DRIFTED if moved else Reason.OK,
        reference,
        model.revision,
        now,
        changed,
        locked is not None,
        _sentence(reference, now, changed) if moved else "",
    )


def _moved(
    source: HuggingFaceSource, reference: str, locked: LockedModel | None, facts: Facts
) -> tuple[str, tuple[ChangedFile, ...]]:
    label = f"{source.repository} at {source.revision[:12]}"
    pinned = facts.upstream.list_files(source.repository, source.revision)
    for file in select(pinned, source.files, label):
        expected(file, locked.files if locked is not None else {}, label)
    now = facts.upstream.commit_of(source.repository, reference)
    if now == source.revision:
        return now, ()
    return now, changed_files(source.files, pinned, facts.upstream.list_files(source.repository, now))


def _demand_wheel(source: SpacySource, locked: LockedModel | None, facts: Facts) -> None:
    label = f"{source.package} {source.version}: {source.wheel_name}"
    size = facts.upstream.size_of(facts.wheel_url(source), label)
    file = locked.files.get(source.wheel_name) if locked is not None else None
    if file is not None and None not in (size, file.bytes) and size != file.bytes:
        raise ContentMismatch(
            f"{label}: the server offers {size} bytes, the lock says {file.bytes}",
            "find out which of the two is right; if it is the server, pin its sha256 and write the lock anew",
        )


def _sentence(reference: str, now: str, changed: Sequence[ChangedFile]) -> str:
    if not changed:
        return f"{reference} is now {now[:12]}; no selected file changed"
    shown = ", ".join(f"{file.path} ({file.change})" for file in changed[:5])
    rest = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
    return f"{reference} is now {now[:12]}: {shown}{rest}"


def _selected(patterns: Sequence[str], files: Sequence[RemoteFile]) -> dict[str, str]:
    return {
        file.path: file.etag
        for file in files
        if any(file.path == pattern or fnmatchcase(file.path, pattern) for pattern in patterns)
    }


def _locked(model: Model, lock: Lock | None) -> LockedModel | None:
    locked = lock.models.get(model.key) if lock is not None else None
    if locked is None or (locked.source, locked.revision) != (model.source_name, model.revision):
        return None
    return locked
