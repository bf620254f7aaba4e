"""Writes what models answered into a lock, for ``cache-check --record FILE``: later checks compare with it."""

import contextlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from model_cache.catalogs.answers import Answer, answer_to_json
from model_cache.catalogs.catalog import Model
from model_cache.catalogs.lock import LockedModel, parse_lock
from model_cache.catalogs.lock_document import dump_lock, lock_document
from model_cache.errors import CacheUnreadable, LockInvalid


def record_answers(path: Path, models: Sequence[Model], answers: Mapping[str, Sequence[Answer]]) -> None:
    """Replace the answers of these models in a lock, which is made if it is not there; all else in it stays.

    Raises ``LockInvalid``, ``CacheUnreadable``.
    """
    try:
        content = path.read_bytes() if path.exists() else None
        document = _with_answers(content, path, models, answers)
        _replace(path, dump_lock(document))
    except OSError as error:
        raise CacheUnreadable(
            f"cannot write the lock {path}: {error.strerror}", "give a file that this user may write"
        ) from error


def _with_answers(
    content: bytes | None, path: Path, models: Sequence[Model], answers: Mapping[str, Sequence[Answer]]
) -> dict[str, object]:
    known = parse_lock(content, str(path)).models if content is not None else {}
    fresh: dict[str, LockedModel] = {}
    for model in models:
        locked = known.get(model.key)
        if locked is None:
            fresh[model.key] = LockedModel(model.source_name, model.revision, {})
        elif (locked.source, locked.revision) != (model.source_name, model.revision):
            raise LockInvalid(
                f"{path} has facts of {locked.source} at {locked.revision} for {model.key}, not of the catalog's",
                "run `cache-warmer lock` first, which writes the facts of this revision",
            )
    former = json.loads(content) if content is not None else None
    document = lock_document([*known, *fresh], fresh, former)
    entries = document["models"]
    assert isinstance(entries, dict)  # as lock_document makes it
    for model in models:
        said = [answer_to_json(answer) for answer in answers[model.key]]
        entries[model.key] = {**entries[model.key], "answers": said}
    return document


def _replace(path: Path, content: bytes) -> None:
    """Write by rename, in the former file's place also where that is a link."""
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name[:40]}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content)
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o777)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
