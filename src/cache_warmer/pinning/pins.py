"""Pin a catalog, and find what changed upstream since it was pinned.

`Pinner` is one run of `lock` before anything is written: branches and tags become commits in the catalog's text, a
missing sha256 of a wheel is computed, and the sources are queried for what these revisions hold.

`find_drift` is `lock --check`: it compares each pinned revision with what its branch names now. It changes nothing. A
source that fails is a result of its own model and does not stop the others.

Both run in the calling thread and query one model after the other.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, TypeAlias

from cache_warmer.artifacts.hf_snapshot import expected_content, select_files
from cache_warmer.errors import ContentMismatch, HubError
from cache_warmer.hub.client import RemoteFile
from cache_warmer.pinning.catalog_text import (
    ModelPins,
    SourceSpan,
    apply_edits,
    find_pins,
    parse_with_placeholders,
)
from cache_warmer.pinning.upstream import UpstreamMetadata, snapshot_label, wheel_label
from model_cache.catalog.catalog import HuggingFaceSource, Model, SpacySource
from model_cache.catalog.lock import Lock, LockedModel
from model_cache.catalog.parse import parse_catalog
from model_cache.reasons import Reason

# The branch that a revision is compared with if it was not resolved from another one.
DEFAULT_BRANCH: Final = "main"
# Maximum number of files named in the sentence about a drift.
_MAX_FILES_SHOWN: Final = 5

# Downloads a body and returns its sha256: (URL, label). Raises `HubError`.
HashBody: TypeAlias = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class PinnedCatalog:
    """A catalog whose selected models are pinned.

    Attributes:
        text: the text of the catalog, with its new pins.
        keys: all keys of the catalog, in its order.
        models: the selected models, pinned.
        locked: their entries of the lock, by key.
        moved: keys of the models whose pin was written or changed.
    """

    text: str
    keys: tuple[str, ...]
    models: tuple[Model, ...]
    locked: Mapping[str, LockedModel]
    moved: frozenset[str]


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A selected file that differs between two commits. The fields are those of the report.

    Attributes:
        path: the path in the repository.
        change: `changed`, `added` or `removed`.
    """

    path: str
    change: str


@dataclass(frozen=True, slots=True)
class Drift:
    """What changed upstream of one model. The fields are those of the report.

    Attributes:
        key, source: as in the catalog.
        reason: `OK`, `CATALOG_DRIFTED`, or why the source could not be queried.
        reference: the branch or tag that was resolved; None for a wheel.
        pinned, now: the commits, or the version of a wheel; `now` is None if it is not known.
        files_changed: the changed files among those that the catalog selects.
        locked: whether the lock has an entry for this revision.
        detail: a sentence for people; empty if nothing changed.
    """

    key: str
    source: str
    reason: Reason
    reference: str | None
    pinned: str
    now: str | None
    files_changed: tuple[ChangedFile, ...]
    locked: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Pinner:
    """Pins the models of a catalog.

    Attributes:
        metadata: queries the sources.
        hash_body: downloads a wheel whose sha256 the catalog lacks.
        update: whether pins that are commits move, too, to what their branch names now.
    """

    metadata: UpstreamMetadata
    hash_body: HashBody
    update: bool = False

    def pin(self, text: str, origin: str, keys: Sequence[str], former: Lock | None) -> PinnedCatalog:
        """Pin models.

        Args:
            text: the text of the catalog.
            origin: what error messages call it.
            keys: the keys of the models to pin; empty: all.
            former: the lock that the catalog has.

        Raises:
            CatalogInvalid: the catalog has a mistake.
            UsageError: a key is not in the catalog.
            HubError: a source cannot be queried.
        """
        draft = parse_with_placeholders(text, origin)
        selected = draft.select(keys) if keys else draft.models
        pins = {model_pins.key: model_pins for model_pins in find_pins(text)}
        known = {model.key: _entry_of_source(former, model) for model in selected}
        references = {
            model.key: self._reference(model, pins[model.key], known[model.key]) for model in selected
        }
        edits: dict[SourceSpan, str] = {}
        for model in selected:
            edits |= self._edits(model, pins[model.key], references[model.key])
        new_text = apply_edits(text, edits)
        pinned = _parse_selected(new_text, origin, keys)
        locked = {
            model.key: self.metadata.locked_model(model, known[model.key], references[model.key] or None)
            for model in pinned
        }
        sources = {model.key: model.source for model in selected}
        moved = frozenset(model.key for model in pinned if model.source != sources[model.key])
        return PinnedCatalog(new_text, tuple(model.key for model in draft.models), pinned, locked, moved)

    def _reference(self, model: Model, pins: ModelPins, known: LockedModel | None) -> str:
        """Return the branch or tag to resolve for a model; empty: its commit stays."""
        if pins.reference or not self.update or not isinstance(model.source, HuggingFaceSource):
            return pins.reference
        return _branch_of(known)

    def _edits(self, model: Model, pins: ModelPins, reference: str) -> dict[SourceSpan, str]:
        source = model.source
        if isinstance(source, HuggingFaceSource) and reference and pins.revision is not None:
            return {pins.revision: self.metadata.upstream.resolve_commit(source.repository, reference)}
        if isinstance(source, SpacySource) and pins.lacks_sha256 and pins.sha256 is not None:
            return {pins.sha256: self.hash_body(self.metadata.wheel_url(source), wheel_label(source))}
        return {}


def find_drift(models: Sequence[Model], lock: Lock | None, metadata: UpstreamMetadata) -> tuple[Drift, ...]:
    """Return what changed upstream, model by model."""
    return tuple(_find_drift(model, _entry_of_revision(lock, model), metadata) for model in models)


def overall_reason(drifts: Iterable[Drift]) -> Reason:
    """Return the first reason that is neither `OK` nor a drift; else `CATALOG_DRIFTED`; else `OK`."""
    reasons = [drift.reason for drift in drifts]
    failed = [reason for reason in reasons if reason not in (Reason.OK, Reason.CATALOG_DRIFTED)]
    drifted = [reason for reason in reasons if reason is Reason.CATALOG_DRIFTED]
    return next(iter([*failed, *drifted]), Reason.OK)


def changed_files(
    patterns: Sequence[str], before: Sequence[RemoteFile], after: Sequence[RemoteFile]
) -> tuple[ChangedFile, ...]:
    """Return how the files that these patterns select differ between two commits, ordered by path."""
    old, new = _selected_etags(patterns, before), _selected_etags(patterns, after)
    return tuple(
        ChangedFile(path, "removed" if path not in new else "added" if path not in old else "changed")
        for path in sorted({*old, *new})
        if old.get(path) != new.get(path)
    )


def _parse_selected(text: str, origin: str, keys: Sequence[str]) -> tuple[Model, ...]:
    """Return the selected models of a pinned text. Models that are not selected may still lack their pins."""
    if not keys:
        return parse_catalog(text, origin).models
    return parse_with_placeholders(text, origin).select(keys)


def _find_drift(model: Model, locked: LockedModel | None, metadata: UpstreamMetadata) -> Drift:
    source = model.source
    reference = _branch_of(locked) if isinstance(source, HuggingFaceSource) else None
    try:
        if isinstance(source, SpacySource):
            _check_wheel(source, locked, metadata)
            now, changed = source.version, tuple[ChangedFile, ...]()
        else:
            now, changed = _compare_commits(source, _branch_of(locked), locked, metadata)
    except HubError as error:
        return Drift(
            key=model.key,
            source=model.source_name,
            reason=error.reason,
            reference=reference,
            pinned=model.revision,
            now=None,
            files_changed=(),
            locked=locked is not None,
            detail=f"{error.message}. Remedy: {error.remedy}",
        )
    has_moved = now != model.revision
    return Drift(
        key=model.key,
        source=model.source_name,
        reason=Reason.CATALOG_DRIFTED if has_moved else Reason.OK,
        reference=reference,
        pinned=model.revision,
        now=now,
        files_changed=changed,
        locked=locked is not None,
        detail=_drift_sentence(_branch_of(locked), now, changed) if has_moved else "",
    )


def _compare_commits(
    source: HuggingFaceSource, branch: str, locked: LockedModel | None, metadata: UpstreamMetadata
) -> tuple[str, tuple[ChangedFile, ...]]:
    """Return the commit that a branch names now, and the selected files that differ from the pinned commit."""
    pinned = metadata.upstream.list_files(source.repository, source.revision)
    label = snapshot_label(source)
    for file in select_files(pinned, source.files, label):
        expected_content(
            file, locked.files if locked is not None else {}, label
        )  # raises if hub and lock disagree
    now = metadata.upstream.resolve_commit(source.repository, branch)
    if now == source.revision:
        return now, ()
    return now, changed_files(source.files, pinned, metadata.upstream.list_files(source.repository, now))


def _check_wheel(source: SpacySource, locked: LockedModel | None, metadata: UpstreamMetadata) -> None:
    """Raise `HubError` if the wheel cannot be found, or does not have the size that the lock has."""
    size = metadata.wheel_size(source)
    file = locked.files.get(source.wheel_name) if locked is not None else None
    if file is not None and None not in (size, file.bytes) and size != file.bytes:
        raise ContentMismatch(
            f"{wheel_label(source)}: the server offers {size} bytes, the lock has {file.bytes}",
            "find out which of the two is right; if it is the server, pin its sha256 and write the lock again",
        )


def _drift_sentence(branch: str, now: str, changed: Sequence[ChangedFile]) -> str:
    if not changed:
        return f"{branch} is now {now[:12]}; no selected file changed"
    shown = ", ".join(f"{file.path} ({file.change})" for file in changed[:_MAX_FILES_SHOWN])
    count = len(changed) - _MAX_FILES_SHOWN
    rest = f" and {count} more" if count > 0 else ""
    return f"{branch} is now {now[:12]}: {shown}{rest}"


def _selected_etags(patterns: Sequence[str], files: Sequence[RemoteFile]) -> dict[str, str]:
    return {
        file.path: file.etag
        for file in files
        if any(file.path == pattern or fnmatchcase(file.path, pattern) for pattern in patterns)
    }


def _branch_of(locked: LockedModel | None) -> str:
    return locked.resolved_from if locked is not None and locked.resolved_from else DEFAULT_BRANCH


def _entry_of_source(lock: Lock | None, model: Model) -> LockedModel | None:
    """Return the lock's entry for a model, if it is of the same source."""
    locked = lock.models.get(model.key) if lock is not None else None
    return locked if locked is not None and locked.source == model.source_name else None


def _entry_of_revision(lock: Lock | None, model: Model) -> LockedModel | None:
    """Return the lock's entry for a model, if it is of the same source and revision."""
    locked = _entry_of_source(lock, model)
    return locked if locked is not None and locked.revision == model.revision else None
