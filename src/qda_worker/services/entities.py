"""EntityService: finds the names of people, places and organizations in texts."""

import time

from model_cache.catalog.catalog import Task
from qda.v1 import entity_pb2 as pb
from qda.v1 import entity_pb2_grpc
from qda_worker.conversion.entities import build_recognize_entities, check_labels, parse_recognize_entities
from qda_worker.interceptors.base import Context
from qda_worker.registry.registry import ModelRegistry
from qda_worker.services.inference import build_off_loop, infer


class EntityService(entity_pb2_grpc.EntityServiceServicer):
    """Servicer of `qda.v1.EntityService`; it uses the entity models of `registry`."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._registry = registry

    async def RecognizeEntities(
        self, request: pb.RecognizeEntitiesRequest, context: Context
    ) -> pb.RecognizeEntitiesResponse:
        """Return the entities of each text."""
        started = time.monotonic()
        parsed = parse_recognize_entities(request)
        contents = parsed.texts.contents
        selected = self._registry.select(parsed.model, Task.ENTITIES)
        check_labels(parsed.labels, selected.engine.info.labels)
        outcomes = await infer(selected, contents, parsed.options, parsed.lane, context)
        return await build_off_loop(
            contents, lambda: build_recognize_entities(parsed, outcomes, selected, started)
        )
