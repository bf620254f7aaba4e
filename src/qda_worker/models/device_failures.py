"""Errors of a CUDA device that no later computation of this process survives, such as an illegal memory access.

Such an error belongs to the process: its CUDA is gone for all models. So it is kept (`DeviceState.failure`), and models
that are loaded afterwards leave the device alone; only another process can use it.

Lack of memory is none of them: the batch is computed again, text by text.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch

from qda_worker.errors import ModelDied

# torch has the class since 2.8. Before, it raises a RuntimeError with the same message.
_ACCELERATOR_ERROR: Final[Any] = getattr(torch, "AcceleratorError", ())
# How the message begins, and what it names if the process can go on with the device.
_BEGINNING: Final = "CUDA error: "
_SURVIVED: Final = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED")


@dataclass(slots=True)
class DeviceState:
    """What is known about the CUDA device of a process.

    Attributes:
        failure: why it cannot be used any more; empty if it can.
    """

    failure: str = ""


# The state of this process, which has one CUDA context.
DEVICE_STATE: Final = DeviceState()


def first_line(error: Exception) -> str:
    """Return the first line of an error's message: the rest is advice for developers, or a stack of C++."""
    return next(iter(str(error).splitlines()), "")


@contextmanager
def device_failures(state: DeviceState = DEVICE_STATE) -> Iterator[None]:
    """Raise ModelDied for an error of the device, so that the model is loaded again or counts as failed.

    Args:
        state: where the failure is kept.
    """
    try:
        yield
    except RuntimeError as error:
        first = first_line(error)
        fatal = isinstance(error, _ACCELERATOR_ERROR) or first.startswith(_BEGINNING)
        if not fatal or any(words in first for words in _SURVIVED):
            raise
        state.failure = f"the CUDA device failed: {first}"
        raise ModelDied(state.failure) from error
