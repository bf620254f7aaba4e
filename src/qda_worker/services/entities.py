"""EntityService: names of people, places, organisations."""

from __future__ import annotations

import time

from model_cache.catalogs.catalog import Task
from qda.v1 import entity_pb2 as pb
from qda.v1 import entity_pb2_grpc
from qda_worker.conversion import asked
from qda_worker.conversion.answers import fill_entities, results
from qda_worker.conversion.labels import check_labels
from qda_worker.conversion.told import provenance
from qda_worker.fleet.fleet import Fleet
from qda_worker.models.base import Options
from qda_worker.scheduling.work import Lane
from qda_worker.services.asking import ask, built, call_timings
from qda_worker.services.boundary import Context


class EntityService(entity_pb2_grpc.EntityServiceServicer):
    """Answers with the fleet's entity models."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def RecognizeEntities(
        self, request: pb.RecognizeEntitiesRequest, context: Context
    ) -> pb.RecognizeEntitiesResponse:
        """The entities of each text."""
        began = time.monotonic()
        asked.check_texts(request.texts)
        encoding = asked.offset_encoding(request.offset_encoding)
        options = Options(asked.long_text(request.long_text_policy))
        lane = asked.lane(request.priority, Lane.INTERACTIVE)
        common = asked.common_labels(request.label_scheme)
        serving = self._fleet.choose(request.model, Task.ENTITIES)
        info = serving.engine.info
        wanted = check_labels(request.labels, info.labels, common=common)
        contents = [text.content for text in request.texts]
        outcomes = await ask(serving, contents, options, lane, context)
        fill = fill_entities(encoding, common=common, wanted=wanted)
        answers = await built(contents, lambda: results(request.texts, outcomes, info, pb.EntityResult, fill))
        return pb.RecognizeEntitiesResponse(
            results=answers,
            provenance=provenance(serving),
            timings=call_timings(outcomes, began),
            offset_encoding=request.offset_encoding,
        )
