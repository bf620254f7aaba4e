"""What every response tells beside its answers: how much of a text was read, who answered, where the time went."""

from collections.abc import Iterable, Mapping
from typing import Final

from model_cache.catalog.catalog import Task
from qda.v1 import model_pb2, processing_pb2, text_pb2
from qda_worker.conversion.rpc_status import duration
from qda_worker.models.base import LengthUnit, ModelInfo, Usage
from qda_worker.registry.registry import Serving, State
from qda_worker.scheduling.jobs import Timings as TextTimings
from qda_worker.version import worker_version

LENGTH_UNITS: Final[Mapping[LengthUnit, text_pb2.LengthUnit.ValueType]] = {
    LengthUnit.TOKENS: text_pb2.LENGTH_UNIT_TOKENS,
    LengthUnit.CHARACTERS: text_pb2.LENGTH_UNIT_CHARACTERS,
}
TASKS: Final[Mapping[Task, model_pb2.Task.ValueType]] = {
    Task.SENTIMENT: model_pb2.TASK_SENTIMENT,
    Task.ENTITIES: model_pb2.TASK_ENTITIES,
    Task.EMBEDDING: model_pb2.TASK_EMBEDDING,
    Task.PARAPHRASE: model_pb2.TASK_PARAPHRASE,
}
STATES: Final[Mapping[State, model_pb2.ModelState.ValueType]] = {
    State.WAITING: model_pb2.MODEL_STATE_WAITING_FOR_CACHE,
    State.LOADING: model_pb2.MODEL_STATE_LOADING,
    State.SERVING: model_pb2.MODEL_STATE_SERVING,
    State.FAILED: model_pb2.MODEL_STATE_FAILED,
}


def usage(found: Usage, info: ModelInfo, text: str) -> text_pb2.TextUsage:
    """How much of `text` the answer rests on."""
    return text_pb2.TextUsage(
        outcome=_outcome(found),
        token_count=found.token_count,
        used_token_count=found.used_token_count,
        limit_count=info.max_length,
        limit_unit=LENGTH_UNITS[info.length_unit],
        window_count=found.window_count,
        character_count=len(text),
    )


def provenance(serving: Serving) -> processing_pb2.Provenance:
    """What makes the answers of one request."""
    info = serving.engine.info
    return processing_pb2.Provenance(
        model=info.key,
        source=info.source,
        revision=info.revision,
        precision=info.precision,
        worker_version=worker_version(),
        model_digest=serving.digest,
        generation=serving.generation,
    )


def timings(texts: Iterable[TextTimings], total_seconds: float) -> processing_pb2.Timings:
    """Where the time of a whole request went, from that of its texts."""
    each = list(texts)
    return processing_pb2.Timings(
        queue_duration=duration(max((one.queue for one in each), default=0.0)),
        tokenize_duration=duration(sum(one.tokenise for one in each)),
        compute_duration=duration(sum(one.compute for one in each)),
        total_duration=duration(total_seconds),
    )


def _outcome(found: Usage) -> text_pb2.LongTextOutcome.ValueType:
    if found.cut:
        return text_pb2.LONG_TEXT_OUTCOME_CUT
    return text_pb2.LONG_TEXT_OUTCOME_WINDOWED if found.window_count > 1 else text_pb2.LONG_TEXT_OUTCOME_WHOLE
