"""Errors of a CUDA device that no later computation of this process survives, such as an illegal memory access.

Lack of memory is none of them: the batch is computed again, text by text.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from qda_worker.errors import ModelDied


@contextmanager
def device_failures() -> Iterator[None]:
    """Raise ModelDied for an error of the device, so that the model is loaded again or counts as failed."""
    try:
        yield
    except torch.AcceleratorError as error:
        first = next(iter(str(error).splitlines()), "")  # the rest is advice for developers
        raise ModelDied(f"the CUDA device failed: {first}") from error
