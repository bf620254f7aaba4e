"""A CUDA device that fails is lost for the process: no model uses it again, and one that needs it says so."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import torch

from model_cache.catalog.catalog import Task
from qda_worker.errors import DeviceLost, ModelDied
from qda_worker.models.device_failures import DEVICE_STATE, DeviceState, device_failures
from qda_worker.models.loading import load_model
from tests.support.tiny_models import hub_model, write_classifier

ILLEGAL: Final = "CUDA error: an illegal memory access was encountered\nCompile with TORCH_USE_CUDA_DSA"


def test_an_error_of_the_device_is_told_in_one_line_and_kept() -> None:
    """torch before 2.8 raises a plain RuntimeError."""
    state = DeviceState()
    with pytest.raises(ModelDied) as raised, device_failures(state):
        raise RuntimeError(ILLEGAL)
    assert raised.value.message == state.failure
    assert state.failure == "the CUDA device failed: CUDA error: an illegal memory access was encountered"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("the size of tensor a must match the size of tensor b"),
        ValueError("CUDA error: no error of torch"),
    ],
)
def test_what_the_process_survives_is_no_failure_of_the_device(error: Exception) -> None:
    state = DeviceState()
    with pytest.raises(type(error)) as raised, device_failures(state):
        raise error
    assert raised.value is error
    assert not state.failure


@pytest.fixture
def _lost() -> Iterator[None]:
    with pytest.raises(ModelDied), device_failures():
        raise RuntimeError(ILLEGAL)
    yield
    DEVICE_STATE.failure = ""


def load(folder: Path, device: str) -> Any:
    write_classifier(folder, ("positive", "negative", "neutral"))
    return load_model(hub_model(Task.SENTIMENT), folder, device=device, threads=1, engine="auto")


@pytest.mark.usefixtures("_lost")
def test_after_a_failure_the_cpu_computes_or_the_worker_must_restart(tmp_path: Path) -> None:
    loaded = load(tmp_path, "auto")
    assert loaded.info.engines.unavailable.startswith("cuda: the CUDA device failed")
    loaded.close()
    with pytest.raises(DeviceLost, match="illegal memory access") as raised:
        load(tmp_path, "cuda")
    assert "restart the worker" in raised.value.remedy
