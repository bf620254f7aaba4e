"""ListModels and GetCacheStatus: the registry's models with their states, and the result of the last cache check."""

from typing import Final

from google.protobuf import timestamp_pb2

from model_cache.check.deep_check_record import DeepCheck, describe_deep_check
from model_cache.check.types import ModelReport, Problem
from model_cache.errors import with_remedy
from model_cache.places import Places
from model_cache.reasons import Reason
from qda.v1 import model_pb2 as pb
from qda_worker import limits
from qda_worker.conversion.embedding import EMBEDDING_KINDS
from qda_worker.conversion.metadata import LENGTH_UNITS, STATES, TASKS
from qda_worker.conversion.syntax import SYNTAX_LAYERS
from qda_worker.registry.registry import ModelProblem, ModelRegistry, ServedModel
from qda_worker.scheduling.queue import CAPACITY, CAPACITY_BYTES
from qda_worker.version import worker_version

# For how long the status tells that a former run of the pod was killed, in seconds. Its metric tells it without end.
_KILL_SECONDS: Final = 3600.0


def build_list_models(registry: ModelRegistry) -> pb.ListModelsResponse:
    """Build the response of ListModels: all models that this worker serves, and the limits of requests."""
    return pb.ListModelsResponse(
        models=[_build_model_info(registry, served) for served in registry.models.values()],
        limits=_build_limits(),
        worker_version=worker_version(),
        generation=registry.generation,
    )


def build_cache_status(registry: ModelRegistry, cache: str) -> pb.GetCacheStatusResponse:
    """Build the response of GetCacheStatus.

    Args:
        registry: the models and the last check of the cache.
        cache: the cache as the user named it.

    Returns:
        The result of the last check with its most severe problem. Its reason is OK only if all models serve, and the
        last deep check found nothing bad.
    """
    problem = (
        registry.cache_problem()
        or next((served.problem for served in registry.models.values() if served.problem is not None), None)
        or _deep_check_problem(registry)
    )
    message = pb.GetCacheStatusResponse(
        generation=registry.generation, cache=cache, restart_needed=registry.restart_needed
    )
    if problem is not None:
        message.reason, message.detail, message.remedy = problem.reason, problem.detail, problem.remedy
    elif registry.all_serving:
        message.reason, message.detail = Reason.OK, "the cache is complete, and every model serves"
    else:
        message.reason = Reason.CACHE_INCOMPLETE if registry.report is None else Reason.OK
        message.detail = (
            "the cache is being checked" if registry.report is None else "models are being loaded"
        )
        message.remedy = "wait"
    kill = registry.kill
    if kill is not None and (registry.checked_at or 0) - kill.time < _KILL_SECONDS:
        message.detail = f"{message.detail}; {kill}"
    if registry.report is not None:
        message.total_bytes, message.file_count = registry.report.bytes, registry.report.files
    if registry.checked_at is not None:
        check_time = timestamp_pb2.Timestamp()
        check_time.FromMicroseconds(int(registry.checked_at * 1_000_000))
        message.check_time.CopyFrom(check_time)
    if registry.deep_check is not None and registry.report is not None:
        message.deep_check.CopyFrom(_build_deep_check(registry.deep_check, registry.report.places))
    message.models.extend(
        _build_model_status(served, registry.model_report(key)) for key, served in registry.models.items()
    )
    return message


def _deep_check_problem(registry: ModelRegistry) -> ModelProblem | None:
    """Return what the last deep check found, if it found something bad that was not replaced since."""
    deep_check, report = registry.deep_check, registry.report
    if deep_check is None or report is None or deep_check.reason is Reason.OK:
        return None
    remedy = registry.remedies.for_corrupt()
    return ModelProblem(deep_check.reason, describe_deep_check(deep_check, report.places), remedy)


def _build_deep_check(deep_check: DeepCheck, places: Places) -> pb.DeepCheckStatus:
    end_time = timestamp_pb2.Timestamp()
    end_time.FromSeconds(int(deep_check.ended_seconds))
    return pb.DeepCheckStatus(
        reason=deep_check.reason,
        detail=describe_deep_check(deep_check, places),
        end_time=end_time,
        file_count=deep_check.record.files,
        bad_file_count=deep_check.bad_files,
        mended_file_count=deep_check.record.mended_files,
    )


def _build_limits() -> pb.ServiceLimits:
    return pb.ServiceLimits(
        max_text_count=limits.MAX_TEXTS,
        max_request_bytes=limits.MAX_REQUEST_BYTES,
        max_response_bytes=limits.MAX_RESPONSE_BYTES,
        max_set_text_count=limits.MAX_SET_TEXTS,
        max_queued_text_count=CAPACITY,
        max_queued_bytes=CAPACITY_BYTES,
        max_search_bytes=limits.MAX_SEARCH_BYTES,
    )


def _build_model_info(registry: ModelRegistry, served: ServedModel) -> pb.ModelInfo:
    """Build the message of one model; fields that only a loaded model knows are left out until then."""
    model = served.model
    message = pb.ModelInfo(
        key=model.key,
        task=TASKS[model.task],
        is_default=registry.catalog.default_for(model.task) == model,
        source=model.source_name,
        revision=model.revision,
        precision=model.serving.precision,
        licence=model.licence or "",
        state=STATES[served.state],
        model_digest=served.digest,
    )
    if served.engine is not None:
        info = served.engine.info
        message.limit_count = info.max_length
        message.limit_unit = LENGTH_UNITS[info.length_unit]
        message.dimension_count = info.dimension or 0
        message.labels.extend(info.labels)
        message.engines.extend(info.engines.names if info.engines else ())
        message.embedding_kinds.extend(EMBEDDING_KINDS[kind] for kind in info.vector_kinds)
        message.shortened_dimension_counts.extend(info.shortened_dimensions)
        message.syntax_layers.extend(SYNTAX_LAYERS[layer] for layer in info.syntax_layers)
        message.components.extend(info.components)
        message.prompts.update(info.prompts)
        message.default_prompt_name = info.default_prompt or ""
    problem = registry.model_problem(served)
    if problem is not None:
        message.reason = problem.reason
        message.detail = with_remedy(problem.detail, problem.remedy)
    return message


def _build_model_status(served: ServedModel, report: ModelReport | None) -> pb.ModelCacheStatus:
    message = pb.ModelCacheStatus(
        key=served.model.key,
        state=STATES[served.state],
        restart_needed=served.files_replaced,
        damaged=served.damaged,
    )
    if report is not None:
        message.reason, message.path = report.reason, report.path
        message.total_bytes, message.file_count = report.bytes, report.files
        message.problem_count = len(report.problems)
        message.problems.extend(
            _build_problem(problem) for problem in report.problems[: limits.MAX_VIOLATIONS]
        )
    problem = served.problem
    if problem is not None and message.reason in ("", Reason.OK):
        message.reason = problem.reason
        message.problem_count += 1
        message.problems.append(
            _build_problem(Problem(message.path, problem.reason, problem.detail, problem.remedy))
        )
    return message


def _build_problem(problem: Problem) -> pb.CacheProblem:
    return pb.CacheProblem(
        file=problem.file, reason=problem.reason, detail=problem.detail, remedy=problem.remedy
    )
