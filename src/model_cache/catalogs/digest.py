"""Names a catalog, and each model of it, by what decides its bytes.

The generation is the SHA-256 of the canonical JSON of all models, sorted by key: UTF-8, keys sorted, no
spaces, characters not escaped. A model is its key with either repository, commit and the sorted set of
files, or package, version and the wheel's sha256:

    [{"files":["config.json","model.safetensors"],"key":"a","repository":"org/name","revision":"<40 hex>"},
     {"key":"b","package":"de_core_news_lg","sha256":"<64 hex>","version":"3.8.0"}]

(on one line, without the line break). A model's digest is the SHA-256 of its own object in the same form.
Task, serving, licence, URL, lock, order, comments and spelling do not count, so that changing how a model
is served needs no new generation. Changing this form makes every cache look incomplete: don't.
"""

import hashlib
import json
from collections.abc import Iterable

from model_cache.catalogs.catalog import HuggingFaceSource, Model


def generation(models: Iterable[Model]) -> str:
    """Return the generation of a catalog's models: 64 lower-case hex digits."""
    return _sha256([_identity(model) for model in sorted(models, key=lambda model: model.key)])


def model_digest(model: Model) -> str:
    """Return the digest of one model, by which its record is found: 64 lower-case hex digits."""
    return _sha256(_identity(model))


def _identity(model: Model) -> dict[str, str | list[str]]:
    source = model.source
    if isinstance(source, HuggingFaceSource):
        return {
            "key": model.key,
            "repository": source.repository,
            "revision": source.revision,
            "files": sorted(set(source.files)),
        }
    return {"key": model.key, "package": source.package, "version": source.version, "sha256": source.sha256}


def _sha256(value: object) -> str:
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8")).hexdigest()
