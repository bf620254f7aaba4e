"""The gRPC services of `qda.v1`, one module each.

Every method reads the same way. `parse_*` turns the request into one frozen value and raises everything that is wrong
with it; the registry selects the model; `check_*` raises what only that model can decide; `infer` puts the texts into
the model's queue and awaits the outcomes; `build_*` turns them into the response. Parsing, checks and building are in
`qda_worker.conversion`. All methods run on the event loop. They raise `WorkerError`s, and `ErrorInterceptor` turns
those into statuses.
"""

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
    syntax_pb2,
    syntax_pb2_grpc,
)
from qda_worker.registry.registry import ModelRegistry
from qda_worker.services.analysis import AnalysisService
from qda_worker.services.embedding import EmbeddingService
from qda_worker.services.entities import EntityService
from qda_worker.services.models import ModelService
from qda_worker.services.paraphrases import ParaphraseService
from qda_worker.services.sentiment import SentimentService
from qda_worker.services.syntax import SyntaxService

SENTIMENT: Final = sentiment_pb2.DESCRIPTOR.services_by_name["SentimentService"].full_name
ENTITIES: Final = entity_pb2.DESCRIPTOR.services_by_name["EntityService"].full_name
EMBEDDING: Final = embedding_pb2.DESCRIPTOR.services_by_name["EmbeddingService"].full_name
PARAPHRASE: Final = paraphrase_pb2.DESCRIPTOR.services_by_name["ParaphraseService"].full_name
SYNTAX: Final = syntax_pb2.DESCRIPTOR.services_by_name["SyntaxService"].full_name
ANALYSIS: Final = analysis_pb2.DESCRIPTOR.services_by_name["AnalysisService"].full_name
MODELS: Final = model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name

# Full names, as health and reflection use them.
SERVICES: Final = (SENTIMENT, ENTITIES, EMBEDDING, PARAPHRASE, SYNTAX, ANALYSIS, MODELS)

# The services that serve one task.
TASK_BY_SERVICE: Final[Mapping[str, Task]] = {
    SENTIMENT: Task.SENTIMENT,
    ENTITIES: Task.ENTITIES,
    EMBEDDING: Task.EMBEDDING,
    PARAPHRASE: Task.PARAPHRASE,
    SYNTAX: Task.SYNTAX,
}


def add_services(server: grpc.aio.Server, registry: ModelRegistry, cache: str) -> None:
    """Add all services to `server`.

    Args:
        server: the server, not started yet.
        registry: the models that answer.
        cache: the cache as the user named it, for GetCacheStatus.
    """
    sentiment_pb2_grpc.add_SentimentServiceServicer_to_server(SentimentService(registry), server)
    entity_pb2_grpc.add_EntityServiceServicer_to_server(EntityService(registry), server)
    embedding_pb2_grpc.add_EmbeddingServiceServicer_to_server(EmbeddingService(registry), server)
    paraphrase_pb2_grpc.add_ParaphraseServiceServicer_to_server(ParaphraseService(registry), server)
    syntax_pb2_grpc.add_SyntaxServiceServicer_to_server(SyntaxService(registry), server)
    analysis_pb2_grpc.add_AnalysisServiceServicer_to_server(AnalysisService(registry), server)
    model_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(registry, cache), server)


def serving_status(registry: ModelRegistry, *, ready: bool) -> dict[str, bool]:
    """Return whether each service serves, by its full name, for the health service.

    The service of one task serves when the models of that task do. AnalysisService needs all models, and ModelService
    none.

    Args:
        registry: the models.
        ready: whether the whole worker is ready, which is the status of the empty name.
    """
    by_task = {name: registry.is_serving(task) for name, task in TASK_BY_SERVICE.items()}
    return {"": ready, **by_task, MODELS: True, ANALYSIS: registry.all_serving}
