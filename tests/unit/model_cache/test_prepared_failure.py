"""Why a form was not made, between two steps of a Job."""

from pathlib import Path
from typing import Final

import pytest

from model_cache.catalog.catalog import Precision
from model_cache.prepared_failure import FAILURE_SUFFIX, FormFailure, error_of, read_failures, write_failure
from model_cache.reasons import Reason

GATE: Final = FormFailure("mood", Precision.INT8, Reason.GATE_FAILED, "cosine 0.5", "serve it in fp32")
LOAD: Final = FormFailure("vectors", Precision.BF16, Reason.MODEL_UNUSABLE, "no bf16 here", "another node")


def test_what_is_written_is_read_and_other_files_are_not(tmp_path: Path) -> None:
    write_failure(tmp_path / f"vectors{FAILURE_SUFFIX}", LOAD)
    write_failure(tmp_path / f"mood{FAILURE_SUFFIX}", GATE)
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / f"folder{FAILURE_SUFFIX}").mkdir()

    assert read_failures(tmp_path) == (GATE, LOAD)


def test_the_error_names_every_model_with_the_reason_of_the_first() -> None:
    error = error_of([GATE, LOAD])

    assert (error.reason, error.remedy) == (Reason.GATE_FAILED, "serve it in fp32")
    assert error.message == (
        "no prepared form in int8 of mood: cosine 0.5; no prepared form in bf16 of vectors: no bf16 here"
    )


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"model": 1}', b'{"model": "a", "precision": "int4"}']
)
def test_another_content_is_refused_with_the_name_of_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / f"mood{FAILURE_SUFFIX}").write_bytes(content)
    with pytest.raises(ValueError, match=r"mood\.failure\.json"):
        read_failures(tmp_path)
