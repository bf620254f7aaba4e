"""The services of `qda.v1`: each takes a request apart, asks a model's queue, and puts the answer together."""

from collections.abc import Mapping
from typing import Final

import grpc

from model_cache.catalog.catalog import Task
from qda.v1 import (
    analysis_pb2,
    analysis_pb2_grpc,
    embedding_pb2,
    embedding_pb2_grpc,
    entity_pb2,
    entity_pb2_grpc,
    model_pb2,
    model_pb2_grpc,
    paraphrase_pb2,
    paraphrase_pb2_grpc,
    sentiment_pb2,
    sentiment_pb2_grpc,
)
from qda_worker.registry.registry import ModelRegistry
from qda_worker.services.analysis import AnalysisService
from qda_worker.services.embedding import EmbeddingService
from qda_worker.services.entities import EntityService
from qda_worker.services.models import ModelService
from qda_worker.services.paraphrases import ParaphraseService
from qda_worker.services.sentiment import SentimentService

SENTIMENT: Final = sentiment_pb2.DESCRIPTOR.services_by_name["SentimentService"].full_name
ENTITIES: Final = entity_pb2.DESCRIPTOR.services_by_name["EntityService"].full_name
EMBEDDING: Final = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"].full_name
PARAPHRASE: Final = paraphrase_pb2.DESCRIPTOR.services_by_name["ParaphraseService"].full_name
ANALYSIS: Final = analysis_pb2.DESCRIPTOR.services_by_name["AnalysisService"].full_name
MODELS: Final = model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name

# Full names, as health, reflection and clients know them.
SERVICES: Final = (SENTIMENT, ENTITIES, EMBEDDING, PARAPHRASE, ANALYSIS, MODELS)

TASK_OF: Final[Mapping[str, Task]] = {
    SENTIMENT: Task.SENTIMENT,
    ENTITIES: Task.ENTITIES,
    EMBEDDING: Task.EMBEDDING,
    PARAPHRASE: Task.PARAPHRASE,
}


def add_services(server: grpc.aio.Server, fleet: ModelRegistry, cache: str) -> None:
    """Have `server` answer with `fleet`. `cache` is the cache as the user named it."""
    sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(SentimentService(fleet), server)
    entity_pb2_grpc.add_EntityServiceServicer_to_server(EntityService(fleet), server)
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(EmbeddingService(fleet), server)
    paraphrase_pb2_grpc.add_ParaphraseServiceServicer_to_server(ParaphraseService(fleet), server)
    analysis_pb2_grpc.add_AnalysisServiceServicer_to_server(AnalysisService(fleet), server)
    model_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(fleet, cache), server)


def serving(fleet: ModelRegistry, *, ready: bool) -> dict[str, bool]:
    """Whether each service serves, by its full name: its own models decide. `ready` is the whole worker.

    ModelService needs no model. AnalysisService needs all of them.
    """
    by_task = {name: fleet.serves(task) for name, task in TASK_OF.items()}
    return {"": ready, **by_task, MODELS: True, ANALYSIS: fleet.loaded}
