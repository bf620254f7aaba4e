"""ModelService: what this worker serves, and in which state its cache is. Answers always, also while it waits."""

from qda.v1 import model_pb2 as pb
from qda.v1 import model_pb2_grpc
from qda_worker.conversion.models import cache_status, model_info, service_limits
from qda_worker.interceptors.errors import Context
from qda_worker.registry.registry import ModelRegistry
from qda_worker.version import worker_version


class ModelService(model_pb2_grpc.ModelServiceServicer):
    """Tells about the fleet. `cache` is the cache as the user named it."""

    def __init__(self, fleet: ModelRegistry, cache: str) -> None:
        self._fleet = fleet
        self._cache = cache

    async def ListModels(self, request: pb.ListModelsRequest, context: Context) -> pb.ListModelsResponse:
        """All models, and the limits."""
        return pb.ListModelsResponse(
            models=[model_info(self._fleet, member) for member in self._fleet.members.values()],
            limits=service_limits(),
            worker_version=worker_version(),
            generation=self._fleet.generation,
        )

    async def GetCacheStatus(
        self, request: pb.GetCacheStatusRequest, context: Context
    ) -> pb.GetCacheStatusResponse:
        """The last look at the cache."""
        return cache_status(self._fleet, self._cache)
