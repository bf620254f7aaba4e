"""Turns what a worker says about itself into plain values. Pure; shared by both clients."""

from __future__ import annotations

from datetime import UTC

from qda.v1 import model_pb2
from qda_worker.client import wire_words
from qda_worker.client.choices import LimitUnit, ModelState, Task
from qda_worker.client.worker_state import CacheProblem, CacheStatus, Limits, Model, ModelCache, Models


def models(message: model_pb2.ListModelsResponse) -> Models:
    """The models of a worker, and its limits."""
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
    """The state of a worker's cache."""
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
    )


def _model(message: model_pb2.ModelInfo) -> Model:
    kinds = (wire_words.word(wire_words.EMBEDDING_KINDS, kind) for kind in message.embedding_kinds)
    return Model(
        key=message.key,
        task=wire_words.word_or(wire_words.TASKS, message.task, Task.UNSPECIFIED),
        is_default=message.is_default,
        source=message.source,
        revision=message.revision,
        precision=message.precision,
        licence=message.licence,
        limit=message.limit_count,
        limit_unit=wire_words.word_or(wire_words.LIMIT_UNITS, message.limit_unit, LimitUnit.UNSPECIFIED),
        dimensions=message.dimension_count,
        embedding_kinds=tuple(kind for kind in kinds if kind is not None),
        shortened_dimensions=tuple(message.shortened_dimension_counts),
        labels=tuple(message.labels),
        state=_state(message.state),
        reason=message.reason,
        detail=message.detail,
        model_digest=message.model_digest,
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
    )


def _state(number: model_pb2.ModelState.ValueType) -> ModelState:
    return wire_words.word_or(wire_words.MODEL_STATES, number, ModelState.UNSPECIFIED)
