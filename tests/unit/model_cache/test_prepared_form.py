"""The record of a prepared form: what is read back, what is refused, the gate, and the source."""

import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from model_cache.prepared_form import (
    FormInvalid,
    Gate,
    GateFigure,
    digest_of,
    dump_form,
    gate_failure,
    parse_form,
    source_mismatch,
)
from tests.support.cache_trees import SENTIMENT, SENTIMENT_FILES
from tests.support.prepared_forms import PASSED, form_of

FORM: Final = form_of(SENTIMENT, SENTIMENT_FILES)
HASHES: Final = {file.path: file.sha256 for file in FORM.source_files}


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(dump_form(FORM))
    change(document)
    return json.dumps(document).encode()


def test_a_record_is_read_as_it_was_written() -> None:
    assert parse_form(dump_form(FORM)) == FORM


def test_equal_forms_have_equal_records() -> None:
    assert digest_of(dump_form(FORM)) == digest_of(dump_form(form_of(SENTIMENT, SENTIMENT_FILES)))


def test_unknown_fields_are_ignored() -> None:
    assert parse_form(changed(lambda form: form.update(later={"x": [1]}))) == FORM


def test_files_of_a_variant_are_its_own_and_the_shared_ones() -> None:
    assert [file.path for file in FORM.files_of("torch-dynamic")] == [
        "torch-dynamic/scales.safetensors",
        "notes.txt",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda form: form.update(version=2), "it has the version 2, and this program reads 1"),
        (lambda form: form.update(version=True), "the version True"),
        (lambda form: form.pop("gate"), "'gate' is missing"),
        (lambda form: form.update(precision="fp32"), "fp32"),
        (lambda form: form.update(precision="int4"), "int4"),
        (lambda form: form.update(task="music"), "music"),
        (lambda form: form.update(model="../mood"), "which no catalog can have"),
        (lambda form: form.update(source={"revision": "a" * 40}), "no repository and no package"),
        (lambda form: form["source"].update(package="x"), "two sources"),
        (lambda form: form["source"].update(revision="../../.."), "the revision"),
        (lambda form: form.update(files=[]), "it lists no file"),
        (lambda form: form.update(source_files=[]), "no file of its source"),
        (lambda form: form.update(files={}), "dict where a list should be"),
        (lambda form: form["files"][0].update(path="../x"), "leads out of its folder"),
        (lambda form: form["files"][0].update(path="/etc/x"), "is absolute"),
        (lambda form: form["files"][0].update(path="form.json"), "it lists form.json itself"),
        (lambda form: form["files"][0].update(path="notes.txt"), "notes.txt twice"),
        (lambda form: form["files"][0].update(path="notes.txt/x"), "a folder of other files"),
        (lambda form: form["files"][0].update(size=-1), "the size -1"),
        (lambda form: form["files"][0].update(size="6"), "the size '6'"),
        (lambda form: form["files"][0].update(sha256="E" * 64), "the sha256"),
        (lambda form: form["gate"].update(passed="yes"), "whether it passed"),
        (lambda form: form["gate"].update(texts=1.5), "how many texts"),
        (lambda form: form["gate"].update(figures=[]), "list where an object should be"),
        (lambda form: form["gate"]["figures"].update({"../x": {}}), "variant with the name"),
        (
            lambda form: form["gate"]["figures"]["torch-dynamic"]["cosine"].update(value=float("nan")),
            "no finite number",
        ),
        (
            lambda form: form["gate"]["figures"]["torch-dynamic"]["cosine"].update(passed=1),
            "whether 'cosine' passed",
        ),
        (lambda form: form.update(recipe="x"), "str where an object should be"),
        (lambda form: form.update(versions={"torch": 2}), "int where text should be"),
    ],
)
def test_a_record_that_contradicts_the_format_is_refused(
    change: Callable[[dict[str, Any]], object], message: str
) -> None:
    with pytest.raises(FormInvalid) as refusal:
        parse_form(changed(change))
    assert message in refusal.value.message
    assert "qda-worker prepare" in refusal.value.remedy


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{", b"\xff", b'{"version": 1', b"[" * 100_000, dump_form(FORM).decode().encode("utf-16")],
)
def test_what_is_no_json_object_is_refused(content: bytes) -> None:
    with pytest.raises(FormInvalid):
        parse_form(content)


def test_every_truncation_is_refused() -> None:
    record = dump_form(FORM).rstrip()
    for length in range(len(record)):
        with pytest.raises(FormInvalid):
            parse_form(record[:length])


def test_a_form_whose_variants_all_passed_passes() -> None:
    assert gate_failure(FORM) == ""


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (Gate(False, 200, PASSED), "its record says so"),
        (Gate(True, 0, PASSED), "nothing was measured"),
        (Gate(True, 200, {}), "nothing was measured"),
        (Gate(True, 200, {**PASSED, "empty": {}}), "nothing was measured of empty"),
        (
            Gate(True, 200, {**PASSED, "bad": {"cosine": GateFigure(0.5, 0.99, True)}}),
            "cosine of bad is 0.5, where 0.99 is needed",
        ),
        (Gate(True, 200, {**PASSED, "bad": {"cosine": GateFigure(0.995, 0.99, False)}}), "cosine of bad"),
    ],
)
def test_a_form_with_a_variant_that_did_not_pass_fails(gate: Gate, message: str) -> None:
    assert message in gate_failure(FORM._replace(gate=gate))


def test_a_form_of_the_models_files_fits() -> None:
    assert source_mismatch(FORM, HASHES) == ""


def test_a_form_of_other_weights_does_not_fit() -> None:
    found = source_mismatch(FORM, {**HASHES, "model.safetensors": "f" * 64})
    assert "model.safetensors" in found
    assert "f" * 64 in found


def test_a_form_of_a_file_that_the_cache_lacks_does_not_fit() -> None:
    hashes = {path: sha256 for path, sha256 in HASHES.items() if path != "config.json"}
    assert "config.json" in source_mismatch(FORM, hashes)


def test_a_form_must_name_all_weights_and_may_leave_out_other_files() -> None:
    weights = form_of(SENTIMENT, {"model.safetensors": SENTIMENT_FILES["model.safetensors"]})
    assert source_mismatch(weights, HASHES) == ""
    assert "head.pt" in source_mismatch(weights, {**HASHES, "head.pt": "f" * 64})
