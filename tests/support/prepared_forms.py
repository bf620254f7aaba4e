"""Small prepared forms: folders as `qda-worker prepare` writes them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from model_cache.catalog.catalog import Model, Precision
from model_cache.prepared_form import (
    RECORD_NAME,
    FormFile,
    Gate,
    GateFigure,
    PreparedForm,
    digest_of,
    dump_form,
    source_of,
)

FILES: Final = {
    "openvino-static/model.xml": b"<net/>",
    "openvino-static/model.bin": b"int8 weights" * 500,
    "torch-dynamic/scales.safetensors": b"scales" * 50,
    "notes.txt": b"shared",
}
PASSED: Final = {
    variant: {"label_agreement": GateFigure(0.995, 0.99, True), "cosine": GateFigure(0.999, 0.99, True)}
    for variant in ("openvino-static", "torch-dynamic")
}


def form_of(
    model: Model,
    source_files: Mapping[str, bytes],
    files: Mapping[str, bytes] = FILES,
    precision: Precision = Precision.INT8,
    gate: Gate | None = None,
    recipe: Mapping[str, object] | None = None,
) -> PreparedForm:
    """Return the record of a form.

    Args:
        model: what it was made from.
        source_files: files of the model's folder, with their content.
        files: the form's files, with their content.
        precision: of the form.
        gate: result of the accuracy gate; None: every variant passed.
        recipe: how it was made.
    """
    return PreparedForm(
        model=model.key,
        task=model.task,
        source=source_of(model),
        precision=precision,
        source_files=list_files(source_files),
        files=list_files(files),
        gate=gate or Gate(True, 200, PASSED),
        recipe=recipe or {"method": "static", "texts_sha256": "e" * 64},
        versions={"torch": "2.13.0", "openvino": "2026.3.0"},
        made_on={"flags": ["avx2", "avx512_vnni"]},
    )


def list_files(files: Mapping[str, bytes]) -> tuple[FormFile, ...]:
    """Return the entries of some files."""
    return tuple(
        FormFile(path, len(content), hashlib.sha256(content).hexdigest()) for path, content in files.items()
    )


def write_form(folder: Path, form: PreparedForm, files: Mapping[str, bytes] = FILES) -> str:
    """Write a form into a folder and return its digest."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    record = dump_form(form)
    (folder / RECORD_NAME).write_bytes(record)
    return digest_of(record)
