"""Find the prepared form of a model in the cache, and refuse one that is not what was published.

The form must have been made from the files that the cache has now, in the precision that the catalog asks for. All of
its files are hashed before they are used: at about a gigabyte a second, and they are read anyway.
"""

from collections.abc import Iterable
from pathlib import Path

from model_cache.catalog.catalog import Model, Precision
from model_cache.catalog.lock import Lock
from model_cache.check.prepared_forms import check_form
from model_cache.check.types import Tier
from model_cache.layout import prepared_folder
from model_cache.places import Places
from model_cache.prepared_form import FormInvalid, gate_failure
from model_cache.prepared_store import StoredForm, find, read_source_hashes
from qda_worker.errors import ModelUnusable


def find_form(model: Model, places: Places, lock: Lock | None, command: str) -> StoredForm | None:
    """Return the form that a model is to be served with; None if it is served in fp32.

    Args:
        model: the catalog entry.
        places: of the cache.
        lock: of the catalog.
        command: makes and publishes the form.

    Raises:
        ModelUnusable: when the cache has no form of these files in this precision, or a damaged one.
    """
    precision = model.serving.precision
    if precision is Precision.FP32:
        return None
    hashes = read_source_hashes(model, places, lock)
    if hashes is None:
        raise ModelUnusable(
            f"model {model.key}: the cache has no record of its files, so no prepared form can be compared with them",
            "run cache-check, then cache-warmer warm",
        )
    try:
        stored = find(places, model.key, hashes, precision, model.revision)
    except FormInvalid as error:
        raise ModelUnusable(f"model {model.key}: {error.message}", f"run `{command}`") from error
    if stored is None:
        raise ModelUnusable(
            f"model {model.key}: the catalog asks for {precision}, and the cache has no prepared form of these files "
            "in this precision",
            f"run `{command}`",
        )
    if failure := gate_failure(stored.form):
        raise ModelUnusable(
            f"model {model.key}: its prepared form did not pass the accuracy gate: {failure}",
            f"run `{command}`",
        )
    problems = check_form(stored, places, Tier.DEEP, f"run `{command}`")
    if problems:
        first = problems[0]
        raise ModelUnusable(
            f"model {model.key}: {first.file} of its prepared form {first.detail}", first.remedy
        )
    return stored


def form_folders(places: Places, models: Iterable[Model]) -> dict[str, Path]:
    """Return the folder of the prepared forms of each model that is not served in fp32, by key."""
    folder = prepared_folder(places)
    return {
        model.key: folder / model.key for model in models if model.serving.precision is not Precision.FP32
    }
