"""One run of ``lock`` before it is written: branches become commits, and the sources say what these hold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cache_warmer.locking.catalog_text import Pins, Spot, edited, find_pins, with_stand_ins
from cache_warmer.locking.drift import DEFAULT_BRANCH
from cache_warmer.locking.facts import Facts
from model_cache.catalogs.catalog import Catalog, HuggingFaceSource, Model, SpacySource
from model_cache.catalogs.catalog_file import parse_catalog
from model_cache.catalogs.lock import Lock, LockedModel

HashBody = Callable[[str, str], str]
"""Reads a body: (URL, label) to its sha256. Raises ``HubError``."""


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
class Pinning:
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
        """Pin the models of these keys (none: all). Raises ``CatalogInvalid``, ``UsageError``, ``HubError``."""
        draft = with_stand_ins(text, origin)
        chosen = draft.select(keys) if keys else draft.models
        pins = {one.key: one for one in find_pins(text)}
        known = {model.key: _known(former, model) for model in chosen}
        references = {
            model.key: self._reference(model, pins[model.key], known[model.key]) for model in chosen
        }
        edits: dict[Spot, str] = {}
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

    def _edits(self, model: Model, pins: Pins, reference: str) -> dict[Spot, str]:
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
