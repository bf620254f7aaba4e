"""Which methods are ours, and under which name others are counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import grpc

from qda_worker.calls.handlers import Handler

Continuation: TypeAlias = Callable[[grpc.HandlerCallDetails], Awaitable["Handler | None"]]

_OURS: Final = "/qda.v1."
OTHER: Final = "other"
"""What a method is called that this server does not have: a caller may make up any number of names (gRPC A66)."""


def is_ours(method: str) -> bool:
    """Whether a method, as `/package.Service/Method`, is of `qda.v1`."""
    return method.startswith(_OURS)
