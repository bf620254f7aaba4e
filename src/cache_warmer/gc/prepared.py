"""Find the prepared forms that are not needed: those of sources that are not retained, and those that are superseded.

A form is made from the files of one commit. It is kept as long as a retained generation, a model record that is kept,
a model that is being fetched, or the current catalog has that commit. Of several forms of one model, source and
precision only the one that was published last counts, so the others go.

A form whose record cannot be read does not tell its source, only the beginning of its revision: it is kept while a
retained commit begins like that, and reported.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cache_warmer.gc.plan import Deletion, Hold, ItemKind, PlanSection
from cache_warmer.gc.repositories import freed_bytes
from cache_warmer.gc.roots import FileKey
from model_cache.catalog.catalog import Model
from model_cache.layout import PACKAGES, prepared_folder, repository_folder
from model_cache.places import Places
from model_cache.prepared_form import FormInvalid, FormSource, PreparedForm, source_of
from model_cache.prepared_store import FormFolder, list_folders, read_stored_form

# A file of a snapshot, or of a package's tree (`model_cache.layout`).
_SNAPSHOT_FILE: Final = re.compile(r"(models--[^/]+)/snapshots/([^/]+)(?:/.*)?")
_PACKAGE_FILE: Final = re.compile(rf"{re.escape(PACKAGES)}/([^/-]+)-([^/]+)-[0-9a-f]{{8}}(?:/.*)?")


@dataclass(frozen=True, slots=True)
class RetainedSources:
    """The sources that are retained.

    Attributes:
        names: pairs of a repository's folder or a package's name, and a revision.
    """

    names: frozenset[tuple[str, str]]

    def has(self, form: PreparedForm) -> bool:
        """Return whether the source of a form is one of them."""
        return _stored_source(form.source) in self.names

    def has_revision(self, beginning: str) -> bool:
        """Return whether the revision of one of them begins like that."""
        return any(revision.startswith(beginning) for _, revision in self.names)


def retained_sources(files: Iterable[FileKey], models: Iterable[Model]) -> RetainedSources:
    """Return the sources of files that are retained, and those of the current catalog's models.

    Args:
        files: retained files, and folders of models that are being fetched.
        models: of the current catalog.
    """
    names = {(match[1], match[2]) for _, path in files if (match := _source_of(path))}
    return RetainedSources(frozenset(names.union(_stored_source(source_of(model)) for model in models)))


def plan_forms(places: Places, sources: RetainedSources) -> PlanSection:
    """Return the forms to delete, and those that are kept though they cannot be read.

    Raises:
        OSError: a folder cannot be read.
    """
    deletions, holds = [], []
    seen: set[tuple[str, str, str]] = set()
    for folder in list_folders(places):  # newest first
        why, is_held = _judge(folder, sources, seen)
        if is_held:
            holds.append(Hold(folder.path, why))
        elif why:
            deletions.append(Deletion(ItemKind.FORM, folder.path, freed_bytes(folder.path), why))
    return PlanSection(
        deletions=tuple(deletions), empty_folders=_parents(deletions, places), holds=tuple(holds)
    )


def _stored_source(source: FormSource) -> tuple[str, str]:
    """Return a source as `RetainedSources.names` has it."""
    is_hub = source.kind == "repository"
    return str(repository_folder(source.name)) if is_hub else source.name, source.revision


def _source_of(path: str) -> re.Match[str] | None:
    return _SNAPSHOT_FILE.fullmatch(path) or _PACKAGE_FILE.fullmatch(path)


def _judge(folder: FormFolder, sources: RetainedSources, seen: set[tuple[str, str, str]]) -> tuple[str, bool]:
    """Return why a form goes or is held, and whether it is held; no reason: it stays.

    Args:
        folder: of the form.
        sources: that are retained.
        seen: key, revision and precision of the newer forms; this one is added.
    """
    names = (folder.key, folder.revision, str(folder.precision))
    is_superseded = names in seen
    seen.add(names)
    if is_superseded:
        return "a newer form of the same model was published", False
    try:
        form = read_stored_form(folder).form
    except FormInvalid as error:
        if sources.has_revision(folder.revision):
            return (
                f"its record cannot be trusted, so it is not known from what it was made ({error.file})",
                True,
            )
        return "no kept generation has a model of its revision", False
    return ("" if sources.has(form) else "no kept generation has the model that it was made from"), False


def _parents(deletions: Collection[Deletion], places: Places) -> tuple[Path, ...]:
    """Return the folders that may be empty afterwards, inner ones first."""
    keys = sorted({deletion.path.parent for deletion in deletions})
    return (*keys, prepared_folder(places)) if keys else ()
