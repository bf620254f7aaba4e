"""ModelService: lists the models of this worker and reports the state of its cache.

It needs no model and so answers while the worker still waits for its cache.
"""

from qda.v1 import model_pb2 as pb
from qda.v1 import model_pb2_grpc
from qda_worker.conversion.models import build_cache_status, build_list_models
from qda_worker.interceptors.base import Context
from qda_worker.registry.registry import ModelRegistry


class ModelService(model_pb2_grpc.ModelServiceServicer):
    """Servicer of `qda.v1.ModelService`; `cache` is the cache as the user named it."""

    def __init__(self, registry: ModelRegistry, cache: str) -> None:
        self._registry = registry
        self._cache = cache

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        """Return all models with their states, and the limits of requests."""
        return build_list_models(self._registry)

    async def GetCacheStatus(
        self, request: pb.GetCacheStatusRequest, context: Context
    ) -> pb.GetCacheStatusResponse:
        """Check the cache again, unless the last check is recent, and return the result."""
        if self._registry.refresh is not None:
            await self._registry.refresh()
        return build_cache_status(self._registry, self._cache)
