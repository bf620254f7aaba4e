"""Write one prepared form into a cache: staged beside its folder, published by rename.

The caller holds the lease. The files are written into a folder with a staging name, compared with the record while they
are written, and synced. The last step renames that folder. A reader sees the whole form or none, and a crash at any
instant leaves at most a staging folder, which the next writer of that form removes: its lock tells that no process
writes to it any more. `collect` removes those of forms that are not published again.

A damaged form under the same name is moved aside first. Programs that have its files open keep them.
"""

import contextlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from cache_warmer.disk import atomic
from cache_warmer.disk.file_lock import ABANDONED_SECONDS, LockResult, try_lock
from cache_warmer.disk.preflight import SpaceNeeded
from cache_warmer.disk.tree import remove_tree
from cache_warmer.errors import FormRefused
from cache_warmer.transfer.hashing import ContentHash
from cache_warmer.transfer.staging import staging_name
from model_cache.check.prepared_forms import check_form
from model_cache.check.types import Tier
from model_cache.file_io import rename, replacement, sync_folder
from model_cache.places import PlaceName, Places
from model_cache.prepared_form import RECORD_NAME, FormFile, FormInvalid, PreparedForm, digest_of
from model_cache.prepared_store import FormFolder, form_folder, list_folders, read_stored_form

# In the name of a staging folder, between that of the form and random digits.
_STAGING_MARK: Final = ".form-"
_FILE_MODE: Final = 0o600
# Inodes of a form beside two for each of its files: its folder, that of its model, and the record.
_MORE_INODES: Final = 3
_SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class FormWriter:
    """Writes one form.

    Attributes:
        places: of the cache.
        form: the form.
        record: the content of its `form.json`.
    """

    places: Places
    form: PreparedForm
    record: bytes

    @property
    def digest(self) -> str:
        """The sha256 of its record."""
        return digest_of(self.record)

    @property
    def folder(self) -> Path:
        """Where it will lie."""
        return form_folder(self.places, self.form, self.digest)

    def is_intact(self) -> bool:
        """Return whether the cache has exactly this form, every hash compared."""
        for folder in list_folders(self.places, self.form.model):
            if folder.path == self.folder:
                try:
                    stored = read_stored_form(folder)
                except FormInvalid:
                    return False
                return not check_form(stored, self.places, Tier.DEEP, "")
        return False

    def counts(self) -> bool:
        """Return whether this form is the newest of its model, source and precision."""
        return next((folder.path for folder in self._rivals()), None) == self.folder

    def renew(self) -> None:
        """Make this form, which the cache has, the newest.

        Raises:
            OSError: its record cannot be changed.
        """
        self._set_time(self.folder / RECORD_NAME)

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """Yield a new staging folder, which is removed after the block if it was not published.

        Raises:
            VolumeUnsuitable: the folder leads out of the cache.
            OSError: it cannot be created.
        """
        boundary = self.places.boundary_of(self.folder)
        atomic.make_folders(self.folder.parent, boundary)
        self._remove_abandoned()
        mark = f"{_STAGING_MARK}{os.urandom(6).hex()}"
        staging = self.folder.with_name(staging_name(f".{self.folder.name}{mark}", self.places))
        atomic.make_folders(staging, boundary)
        descriptor = _open_folder(staging)
        try:
            if descriptor is not None:
                try_lock(descriptor)  # until it is closed: others see that this writer is alive
            yield staging
        finally:
            if os.path.lexists(staging):
                with contextlib.suppress(OSError):
                    remove_tree(staging)
            if descriptor is not None:
                os.close(descriptor)

    def write(self, staging: Path, file: FormFile, chunks: Iterable[bytes]) -> None:
        """Write one file into the staging folder.

        Args:
            staging: the folder.
            file: its entry in the record.
            chunks: its content.

        Raises:
            FormRefused: the content is not that of the record.
            OSError: it cannot be written.
        """
        path, content, size = staging / file.path, ContentHash(None), 0
        atomic.make_folders(path.parent, self.places.boundary_of(path))
        prepare = partial(atomic.apply_cache_mode, folder=path.parent)
        with replacement(path, mode=_FILE_MODE, prepare=prepare) as out:
            for chunk in chunks:
                size += len(chunk)
                if size > file.size:
                    break
                content.update(chunk)
                out.write(chunk)
            if size != file.size:
                found = f"more than {file.size}" if size > file.size else str(size)
                raise form_refused(f"{file.path} has {found} bytes, where its record has {file.size}")
            if (sha256 := content.sha256()) != file.sha256:
                raise form_refused(f"{file.path} has the sha256 {sha256}, where its record has {file.sha256}")

    def publish(self, staging: Path) -> None:
        """Write the record into a staging folder with all files, and rename it to the form's folder.

        Raises:
            OSError: something cannot be written or renamed.
        """
        record = staging / RECORD_NAME
        prepare = partial(atomic.apply_cache_mode, folder=staging)
        with replacement(record, mode=_FILE_MODE, prepare=prepare) as out:
            out.write(self.record)
        self._set_time(record)
        aside: Path | None = None
        if os.path.lexists(self.folder):  # damaged, else nothing would be written
            aside = self.folder.with_name(staging_name(f".{self.folder.name}.aside", self.places))
            with contextlib.suppress(FileNotFoundError):
                remove_tree(aside)
            rename(self.folder, aside)
        rename(staging, self.folder)
        sync_folder(self.folder.parent)
        if aside is not None:
            remove_tree(aside)

    def _set_time(self, record: Path) -> None:
        """Give a record a time after those of all other forms, also where another writer's clock is ahead."""
        newest = max((folder.published for folder in self._rivals()), default=0)
        now = max(time.time_ns(), newest + _SECOND)
        os.utime(record, ns=(now, now))

    def _rivals(self) -> Iterator[FormFolder]:
        for folder in list_folders(self.places, self.form.model):
            if folder.is_of(self.form):
                yield folder

    def _remove_abandoned(self) -> None:
        """Remove the staging folders that killed writers of this form left."""
        ending = staging_name("", self.places)
        for path in self.folder.parent.glob(f".{self.folder.name}.*"):
            if path.name.endswith(ending) and path.is_dir() and _is_abandoned(path):
                with contextlib.suppress(OSError):
                    remove_tree(path)


def space_needed(writers: Iterable[FormWriter]) -> SpaceNeeded:
    """Return the space that those of the forms need that the cache does not have."""
    missing = [writer for writer in writers if not writer.folder.is_dir()]
    return SpaceNeeded(
        PlaceName.OWN,
        sum(writer.form.bytes + len(writer.record) for writer in missing),
        sum(2 * len(writer.form.files) + _MORE_INODES for writer in missing),
    )


def form_refused(message: str) -> FormRefused:
    """Return the error about a form that is not what its record says."""
    return FormRefused(message, "make the form again with `qda-worker prepare`, and publish that")


def _open_folder(path: Path) -> int | None:
    """Open a folder, so that it can be locked; None where folders cannot be opened (Windows)."""
    return os.open(path, os.O_RDONLY) if os.name == "posix" else None


def _is_abandoned(path: Path) -> bool:
    descriptor = _open_folder(path)
    if descriptor is None:
        return time.time() - path.stat().st_mtime > ABANDONED_SECONDS
    try:
        result = try_lock(descriptor)
        is_old = time.time() - os.fstat(descriptor).st_mtime > ABANDONED_SECONDS
    finally:
        os.close(descriptor)
    return result is LockResult.TAKEN or (result is LockResult.NOT_POSSIBLE and is_old)
