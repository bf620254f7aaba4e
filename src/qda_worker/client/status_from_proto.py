"""Convert protobuf responses to the values of `status`. No I/O; shared by both clients.

Enum numbers that this client does not know become `UNSPECIFIED`, because a newer worker may send them.
"""

from datetime import UTC

from qda.v1 import model_pb2
from qda_worker.client import proto_enums
from qda_worker.client.enums import LimitUnit, ModelState, Task
from qda_worker.client.status import CacheProblem, CacheStatus, DeepCheck, Limits, Model, ModelCache, Models


def models(message: model_pb2.ListModelsResponse) -> Models:
    """Return the models of a worker and its limits."""
    limits = message.limits
    return Models(
        models=tuple(_model(each) for each in message.models),
        limits=Limits(
            texts=limits.max_text_count,
            request_bytes=limits.max_request_bytes,
            response_bytes=limits.max_response_bytes,
            set_texts=limits.max_set_text_count,
            queued_texts=limits.max_queued_text_count,
            queued_bytes=limits.max_queued_bytes,
            search_bytes=limits.max_search_bytes,
        ),
        worker_version=message.worker_version,
        generation=message.generation,
    )


def cache_status(message: model_pb2.GetCacheStatusResponse) -> CacheStatus:
    """Return the state of a worker's cache."""
    return CacheStatus(
        reason=message.reason,
        detail=message.detail,
        remedy=message.remedy,
        generation=message.generation,
        cache=message.cache,
        checked_at=message.check_time.ToDatetime(UTC) if message.HasField("check_time") else None,
        bytes=message.total_bytes,
        files=message.file_count,
        restart_needed=message.restart_needed,
        models=tuple(_model_cache(each) for each in message.models),
        deep_check=_deep_check(message.deep_check) if message.HasField("deep_check") else None,
    )


def _model(message: model_pb2.ModelInfo) -> Model:
    return Model(
        key=message.key,
        task=proto_enums.to_enum_or(proto_enums.TASKS, message.task, Task.UNSPECIFIED),
        is_default=message.is_default,
        source=message.source,
        revision=message.revision,
        precision=message.precision,
        licence=message.licence,
        limit=message.limit_count,
        limit_unit=proto_enums.to_enum_or(proto_enums.LIMIT_UNITS, message.limit_unit, LimitUnit.UNSPECIFIED),
        dimensions=message.dimension_count,
        embedding_kinds=proto_enums.to_enums(proto_enums.EMBEDDING_KINDS, message.embedding_kinds),
        shortened_dimensions=tuple(message.shortened_dimension_counts),
        labels=tuple(message.labels),
        state=_state(message.state),
        reason=message.reason,
        detail=message.detail,
        model_digest=message.model_digest,
        engines=tuple(message.engines),
        syntax_layers=proto_enums.to_enums(proto_enums.SYNTAX_LAYERS, message.syntax_layers),
        components=tuple(message.components),
        prompts=dict(message.prompts),
        default_prompt_name=message.default_prompt_name,
    )


def _model_cache(message: model_pb2.ModelCacheStatus) -> ModelCache:
    return ModelCache(
        key=message.key,
        reason=message.reason,
        bytes=message.total_bytes,
        files=message.file_count,
        path=message.path,
        state=_state(message.state),
        problems=tuple(
            CacheProblem(each.file, each.reason, each.detail, each.remedy) for each in message.problems
        ),
        problem_count=message.problem_count,
        restart_needed=message.restart_needed,
        damaged=message.damaged,
    )


def _deep_check(message: model_pb2.DeepCheckStatus) -> DeepCheck:
    return DeepCheck(
        reason=message.reason,
        detail=message.detail,
        ended_at=message.end_time.ToDatetime(UTC),
        files=message.file_count,
        bad_files=message.bad_file_count,
        mended_files=message.mended_file_count,
    )


def _state(number: model_pb2.ModelState.ValueType) -> ModelState:
    return proto_enums.to_enum_or(proto_enums.MODEL_STATES, number, ModelState.UNSPECIFIED)
