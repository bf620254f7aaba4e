"""EntityService: names of people, places, organisations."""

import time

from model_cache.catalog.catalog import Task
from qda.v1 import entity_pb2 as pb
from qda.v1 import entity_pb2_grpc
from qda_worker.conversion import request_fields
from qda_worker.conversion.metadata import provenance
from qda_worker.conversion.request_fields import check_labels
from qda_worker.conversion.results import fill_entities, results
from qda_worker.interceptors.errors import Context
from qda_worker.models.base import Options
from qda_worker.registry.registry import ModelRegistry
from qda_worker.scheduling.jobs import Lane
from qda_worker.services.inference import ask, build_off_loop, call_timings


class EntityService(entity_pb2_grpc.EntityServiceServicer):
    """Answers with the fleet's entity models."""

    def __init__(self, fleet: ModelRegistry) -> None:
        self._fleet = fleet

    async def RecognizeEntities(
        self, request: pb.RecognizeEntitiesRequest, context: Context
    ) -> pb.RecognizeEntitiesResponse:
        """The entities of each text."""
        began = time.monotonic()
        request_fields.check_texts(request.texts)
        encoding = request_fields.offset_encoding(request.offset_encoding)
        options = Options(request_fields.long_text(request.long_text_policy))
        lane = request_fields.lane(request.priority, Lane.INTERACTIVE)
        common = request_fields.common_labels(request.label_scheme)
        serving = self._fleet.choose(request.model, Task.ENTITIES)
        info = serving.engine.info
        wanted = check_labels(request.labels, info.labels, common=common)
        contents = [text.content for text in request.texts]
        outcomes = await ask(serving, contents, options, lane, context)
        fill = fill_entities(encoding, common=common, wanted=wanted)
        answers = await build_off_loop(
            contents, lambda: results(request.texts, outcomes, info, pb.EntityResult, fill)
        )
        return pb.RecognizeEntitiesResponse(
            results=answers,
            provenance=provenance(serving),
            timings=call_timings(outcomes, began),
            offset_encoding=request.offset_encoding,
        )
