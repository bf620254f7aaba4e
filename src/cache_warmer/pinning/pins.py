"""Says what moved upstream since a catalog was pinned, model by model. Asks; changes nothing.

One run of `lock` before it is written: branches become commits, and the sources say what these hold.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from cache_warmer.artifacts.hf_snapshot import expected, select
from cache_warmer.errors import ContentMismatch, HubError
from cache_warmer.hub.client import RemoteFile
from cache_warmer.pinning.catalog_text import Pins, SourceSpan, edited, find_pins, with_stand_ins
from cache_warmer.pinning.upstream import Facts
from model_cache.catalog.catalog import Catalog, HuggingFaceSource, Model, SpacySource
from model_cache.catalog.lock import Lock, LockedModel
from model_cache.catalog.parse import parse_catalog
from model_cache.reasons import Reason

# Of every repository on a hub; what a pin without a branch of its own is compared with.
DEFAULT_BRANCH: Final = "main"


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A selected file that differs between two commits: `changed`, `added` or `removed`."""

    path: str
    change: str


@dataclass(frozen=True, slots=True)
class Drift:
    """One model.

    Attributes:
        key, source: as in the catalog.
        reason: `OK`, `CATALOG_DRIFTED`, or why the source could not be asked.
        reference: the branch or tag that was asked; empty for a wheel.
        pinned, now: the commits, or the version of a wheel; `now` is empty if it is not known.
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
    """Return the first reason that is neither `OK` nor a drift; else `CATALOG_DRIFTED`; else `OK`."""
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


# Reads a body: (URL, label) to its sha256. Raises `HubError`.
HashBody = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Pinned:
    """A catalog whose chosen models are pinned, and the facts of these.

    Attributes:
        text: of the catalog, with its new pins.
        keys: of the whole catalog, in its order.
        models: those that were chosen, pinned.
        locked: their facts.
        moved: their keys whose pin was written or changed.
    """

    text: str
    keys: tuple[str, ...]
    models: tuple[Model, ...]
    locked: Mapping[str, LockedModel]
    moved: frozenset[str]


@dataclass(frozen=True, slots=True)
class Pinner:
    """Pins a catalog.

    Attributes:
        facts: asks the sources.
        hash_body: reads a wheel whose sha256 the catalog does not say.
        update: also move pins that are commits: to what their branch names now.
    """

    facts: Facts
    hash_body: HashBody
    update: bool = False

    def pin(self, text: str, origin: str, keys: Sequence[str], former: Lock | None) -> Pinned:
        """Pin the models of these keys (none: all). Raises `CatalogInvalid`, `UsageError`, `HubError`."""
        draft = with_stand_ins(text, origin)
        chosen = draft.select(keys) if keys else draft.models
        pins = {one.key: one for one in find_pins(text)}
        known = {model.key: _known(former, model) for model in chosen}
        references = {
            model.key: self._reference(model, pins[model.key], known[model.key]) for model in chosen
        }
        edits: dict[SourceSpan, str] = {}
        for model in chosen:
            edits |= self._edits(model, pins[model.key], references[model.key])
        new_text = edited(text, edits)
        pinned = self._read(new_text, origin, keys)
        locked = {
            model.key: self.facts.of(model, known[model.key], references[model.key] or None)
            for model in pinned
        }
        before = {model.key: model.source for model in chosen}
        moved = frozenset(model.key for model in pinned if model.source != before[model.key])
        return Pinned(new_text, tuple(model.key for model in draft.models), pinned, locked, moved)

    def _read(self, text: str, origin: str, keys: Sequence[str]) -> tuple[Model, ...]:
        catalog: Catalog = with_stand_ins(text, origin) if keys else parse_catalog(text, origin)
        return catalog.select(keys) if keys else catalog.models

    def _reference(self, model: Model, pins: Pins, known: LockedModel | None) -> str:
        """Return the branch or tag that shall name the model's commit; empty: its commit stays."""
        if pins.reference or not self.update or not isinstance(model.source, HuggingFaceSource):
            return pins.reference
        return known.resolved_from if known is not None and known.resolved_from else DEFAULT_BRANCH

    def _edits(self, model: Model, pins: Pins, reference: str) -> dict[SourceSpan, str]:
        source = model.source
        if isinstance(source, HuggingFaceSource) and reference and pins.revision is not None:
            return {pins.revision: self.facts.upstream.commit_of(source.repository, reference)}
        if isinstance(source, SpacySource) and pins.lacks_sha256 and pins.sha256 is not None:
            label = f"{source.package} {source.version}: {source.wheel_name}"
            return {pins.sha256: self.hash_body(self.facts.wheel_url(source), label)}
        return {}


def _known(former: Lock | None, model: Model) -> LockedModel | None:
    locked = former.models.get(model.key) if former is not None else None
    return locked if locked is not None and locked.source == model.source_name else None
