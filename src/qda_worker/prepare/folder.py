"""The folder of a form while it is made, and the files that it is made from.

A form counts only with its record, which is written last. Until then the folder holds INCOMPLETE_NAME, by which a later
run knows that it may delete what is there.
"""

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from model_cache.catalog.catalog import Model, Precision
from model_cache.errors import ModelCacheError, UsageError
from model_cache.prepared_form import (
    RECORD_NAME,
    FormFile,
    FormInvalid,
    PreparedForm,
    digest_of,
    gate_failure,
)
from model_cache.prepared_store import read_form
from model_cache.reasons import Reason
from qda_worker.prepare.texts import Texts

INCOMPLETE_NAME: Final = ".incomplete"


def verify_source(path: Path, hashes: Mapping[str, str]) -> tuple[FormFile, ...]:
    """Return the files of a model, whose content is that of the cache's record.

    Raises:
        ModelCacheError: CACHE_INCOMPLETE or CACHE_CORRUPT.
    """
    files = []
    for name, expected in sorted(hashes.items()):
        file = path / name
        if not file.is_file():
            raise ModelCacheError(
                f"{file} is missing", "run cache-warmer warm", reason=Reason.CACHE_INCOMPLETE
            )
        if (found := _sha256(file)) != expected:
            raise ModelCacheError(
                f"{file} has the sha256 {found}, and the record of the cache {expected}",
                "run cache-warmer repair",
                reason=Reason.CACHE_CORRUPT,
            )
        files.append(FormFile(name, file.stat().st_size, expected))
    return tuple(files)


def find_finished(
    out: Path,
    model: Model,
    hashes: Mapping[str, str],
    precision: Precision,
    texts: Texts,
    recipes: Mapping[str, Mapping[str, object]],
) -> tuple[PreparedForm, str] | None:
    """Return the wanted form, if the folder holds it with intact files and nothing else.

    Args:
        out: the folder.
        model: the model.
        hashes: sha256 of the model's files by path.
        precision: of the form.
        texts: of the accuracy gate.
        recipes: how each variant is made.
    """
    try:
        form, content = read_form(out)
    except FormInvalid:
        return None
    wanted = (model.key, model.task, precision, model.source_name, model.revision, texts.sha256)
    source = (form.source.name, form.source.revision)
    found = (form.model, form.task, form.precision, *source, form.recipe.get("gate_sha256"))
    if (
        found != wanted
        or gate_failure(form)
        or form.recipe.get("variants") != {name: recipes.get(name) for name in form.variants}
        or {file.path: file.sha256 for file in form.source_files} != hashes
    ):
        return None
    if set(list_files(out)) != {*form.files, FormFile(RECORD_NAME, len(content), digest_of(content))}:
        return None
    return form, digest_of(content)


def claim_folder(out: Path) -> bool:
    """Make an empty folder of `out`, and mark it as incomplete; return whether it was created.

    Raises:
        UsageError: it is no folder, or holds something else than the remains of a run that was killed.
    """
    created = not out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise UsageError(f"--out {out} is a file", "give a folder that is empty or does not exist") from error
    names = set(os.listdir(out))
    if names and (INCOMPLETE_NAME not in names or RECORD_NAME in names):
        raise UsageError(
            f"--out {out} is not empty",
            "give a folder that is empty or does not exist, or delete what is in it",
        )
    clear_folder(out, created=False)
    (out / INCOMPLETE_NAME).touch()
    return created


def clear_folder(out: Path, *, created: bool) -> None:
    """Delete what is in the folder, the mark last, and the folder itself if this run created it."""
    for entry in sorted(out.iterdir(), key=lambda one: one.name == INCOMPLETE_NAME):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    if created:
        out.rmdir()


def list_files(folder: Path) -> tuple[FormFile, ...]:
    """Return the files of a folder, without the mark of an incomplete form."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != INCOMPLETE_NAME]
    return tuple(
        FormFile(path.relative_to(folder).as_posix(), path.stat().st_size, _sha256(path)) for path in files
    )


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
