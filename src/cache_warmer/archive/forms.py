"""Prepared forms in an archive: those that count, after the files of the generation that they were made from.

The records of the forms stand in `archive.json`, so a reader knows everything about them before the first file. A form
that the cache has damaged is left out, because a generation can be exported without it.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

from cache_warmer.disk.preflight import SpaceNeeded
from cache_warmer.errors import ArchiveInvalid, FormRefused
from cache_warmer.prepared.writer import FormWriter, space_needed
from model_cache.catalog.catalog import Model
from model_cache.catalog.lock import Lock
from model_cache.check.prepared_forms import check_form
from model_cache.check.types import Tier
from model_cache.manifest import FileRecord, Manifest
from model_cache.places import Places
from model_cache.prepared_form import (
    FormInvalid,
    PreparedForm,
    digest_of,
    gate_failure,
    parse_form,
    source_mismatch,
)
from model_cache.prepared_store import (
    find,
    form_path,
    list_folders,
    read_form,
    read_source_hashes,
    records_of,
    source_hashes,
)

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ArchivedForm:
    """One form of an archive.

    Attributes:
        form: the form.
        record: the content of its `form.json`.
    """

    form: PreparedForm
    record: bytes

    def files(self) -> tuple[FileRecord, ...]:
        """Return its files in the order of the archive."""
        return records_of(self.form, form_path(self.form, digest_of(self.record)))


def forms_to_export(
    models: Sequence[Model], places: Places, lock: Lock | None = None
) -> tuple[ArchivedForm, ...]:
    """Return the form that counts of each model and precision; one that is damaged is logged and left out."""
    return tuple(_forms_of(models, places, lock))


def parse_forms(
    texts: object, models: Sequence[Model], manifest: Manifest, remedy: str
) -> tuple[ArchivedForm, ...]:
    """Return the forms of an archive's description.

    Args:
        texts: the list of records in the description.
        models: of the archive's catalog.
        manifest: of the archive.
        remedy: of the error.

    Raises:
        ArchiveInvalid: a form is none, did not pass its gate, or was made from other files than the archive has.
    """
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ArchiveInvalid("its forms are no list of records", remedy)
    forms = [_parse(text, models, manifest, remedy) for text in texts]
    if len({form.files()[0].path for form in forms}) != len(forms):
        raise ArchiveInvalid("it has one prepared form twice", remedy)
    return tuple(forms)


def space_for(forms: Iterable[ArchivedForm], places: Places) -> SpaceNeeded:
    """Return the space that those of the forms need that the cache does not have."""
    return space_needed(FormWriter(places, one.form, one.record) for one in forms)


def stage_form(
    archived: ArchivedForm,
    places: Places,
    stack: ExitStack,
    open_member: Callable[[FileRecord], Iterator[bytes]],
    remedy: str,
) -> Callable[[], None]:
    """Read a form from an archive into a staging folder, and return what publishes it.

    Args:
        archived: the form.
        places: of the cache.
        stack: removes the staging folder, if it is not published, when it is closed.
        open_member: returns the content of the archive's next file, which must be the given one.
        remedy: of the error.

    Raises:
        ArchiveInvalid: a file is not what the record says.
        OSError: it cannot be written.
    """
    writer = FormWriter(places, archived.form, archived.record)
    staging = None if writer.is_intact() else stack.enter_context(writer.staged())
    for file, record in zip(archived.form.files, archived.files(), strict=True):
        chunks = open_member(record)
        if staging is None:
            for _ in chunks:  # the cache has this form: its content is only read over
                pass
            continue
        try:
            writer.write(staging, file, chunks)
        except FormRefused as error:
            raise ArchiveInvalid(error.message, remedy) from error
    if staging is not None:
        return partial(writer.publish, staging)
    return (lambda: None) if writer.counts() else writer.renew


def _forms_of(models: Sequence[Model], places: Places, lock: Lock | None) -> Iterator[ArchivedForm]:
    for model in sorted(models, key=lambda model: model.key):
        hashes = read_source_hashes(model, places, lock)
        for precision in sorted({folder.precision for folder in list_folders(places, model.key)}):
            try:
                stored = find(places, model.key, hashes or {}, precision, model.revision)
                if stored is None:
                    continue
                problems = check_form(stored, places, Tier.FAST, "")
            except FormInvalid as error:
                _LOG.warning("a prepared form is not exported: %s", error.message)
                continue
            if problems:
                _LOG.warning("a prepared form is not exported: %s %s", problems[0].file, problems[0].detail)
                continue
            form, record = read_form(stored.folder)
            yield ArchivedForm(form, record)


def _parse(text: str, models: Sequence[Model], manifest: Manifest, remedy: str) -> ArchivedForm:
    try:
        form = parse_form(text.encode())
    except FormInvalid as error:
        raise ArchiveInvalid(f"a form in it: {error.message}", remedy) from error
    model = next((model for model in models if model.key == form.model), None)
    record = next((record for record in manifest.models if record.key == form.model), None)
    if model is None or record is None or form.source.revision != model.revision:
        raise ArchiveInvalid(f"it has a form of {form.model} at another revision than its catalog", remedy)
    if failure := gate_failure(form):
        raise ArchiveInvalid(f"the form of {form.model} did not pass its accuracy gate: {failure}", remedy)
    if mismatch := source_mismatch(form, source_hashes(record.files, model)):
        raise ArchiveInvalid(f"the form of {form.model} {mismatch}", remedy)
    return ArchivedForm(form, text.encode())
