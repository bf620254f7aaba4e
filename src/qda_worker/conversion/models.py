"""The fleet as ModelService tells it: models with their states, and the cache as it was last seen."""

from google.protobuf import timestamp_pb2

from model_cache.check.types import ModelReport, Problem
from model_cache.errors import with_remedy
from model_cache.reasons import Reason
from qda.v1 import model_pb2 as pb
from qda_worker import limits
from qda_worker.conversion.embedding import KINDS
from qda_worker.conversion.metadata import LENGTH_UNITS, STATES, TASKS
from qda_worker.registry.registry import ModelProblem, ModelRegistry, ServedModel, State
from qda_worker.scheduling.queue import CAPACITY, CAPACITY_BYTES


def service_limits() -> pb.ServiceLimits:
    """What a request may hold."""
    return pb.ServiceLimits(
        max_text_count=limits.MAX_TEXTS,
        max_request_bytes=limits.MAX_REQUEST_BYTES,
        max_response_bytes=limits.MAX_RESPONSE_BYTES,
        max_set_text_count=limits.MAX_SET_TEXTS,
        max_queued_text_count=CAPACITY,
        max_queued_bytes=CAPACITY_BYTES,
        max_search_bytes=limits.MAX_SEARCH_BYTES,
    )


def model_info(fleet: ModelRegistry, member: ServedModel) -> pb.ModelInfo:
    """One model; what only a loaded model knows is left out until then."""
    model = member.model
    message = pb.ModelInfo(
        key=model.key,
        task=TASKS[model.task],
        is_default=fleet.catalog.default_for(model.task) == model,
        source=model.source_name,
        revision=model.revision,
        precision=model.serving.precision,
        licence=model.licence or "",
        state=STATES[member.state],
        model_digest=member.digest,
    )
    if member.engine is not None:
        info = member.engine.info
        message.limit_count = info.max_length
        message.limit_unit = LENGTH_UNITS[info.length_unit]
        message.dimension_count = info.dimension or 0
        message.labels.extend(info.labels)
        message.embedding_kinds.extend(KINDS[kind] for kind in info.vector_kinds)
        message.shortened_dimension_counts.extend(info.shortened_dimensions)
    trouble = trouble_of(fleet, member)
    if trouble is not None:
        message.reason = trouble.reason
        message.detail = with_remedy(trouble.detail, trouble.remedy)
    return message


def trouble_of(fleet: ModelRegistry, member: ServedModel) -> ModelProblem | None:
    """Why a member does not serve; None for one that does, or is on its way."""
    if member.trouble is not None or member.state is not State.WAITING:
        return member.trouble
    report = fleet.report_of(member.model.key)
    if report is not None and report.problems:
        problem = next(each for each in report.problems if each.reason is report.reason)
        return ModelProblem(problem.reason, f"{problem.file}: {problem.detail}", problem.remedy)
    return fleet.cache_trouble()


def cache_status(fleet: ModelRegistry, cache: str) -> pb.GetCacheStatusResponse:
    """What the last look found, the gravest first; OK only when all models serve too."""
    trouble = fleet.cache_trouble() or next(
        (member.trouble for member in fleet.members.values() if member.trouble is not None), None
    )
    message = pb.GetCacheStatusResponse(
        generation=fleet.generation, cache=cache, restart_needed=fleet.restart_needed
    )
    if trouble is not None:
        message.reason, message.detail, message.remedy = trouble.reason, trouble.detail, trouble.remedy
    elif fleet.loaded:
        message.reason, message.detail = Reason.OK, "the cache is complete, and every model serves"
    else:
        message.reason = Reason.CACHE_INCOMPLETE if fleet.report is None else Reason.OK
        message.detail = "the cache is being checked" if fleet.report is None else "models are being loaded"
        message.remedy = "wait"
    if fleet.report is not None:
        message.total_bytes, message.file_count = fleet.report.bytes, fleet.report.files
    if fleet.checked_at is not None:
        moment = timestamp_pb2.Timestamp()
        moment.FromMicroseconds(int(fleet.checked_at * 1_000_000))
        message.check_time.CopyFrom(moment)
    message.models.extend(
        _model_status(member, fleet.report_of(key)) for key, member in fleet.members.items()
    )
    return message


def _model_status(member: ServedModel, report: ModelReport | None) -> pb.ModelCacheStatus:
    message = pb.ModelCacheStatus(
        key=member.model.key, state=STATES[member.state], restart_needed=member.replaced
    )
    if report is not None:
        message.reason, message.path = report.reason, report.path
        message.total_bytes, message.file_count = report.bytes, report.files
        message.problem_count = len(report.problems)
        message.problems.extend(_problem(problem) for problem in report.problems[: limits.MAX_VIOLATIONS])
    if member.trouble is not None and message.reason in ("", Reason.OK):
        message.reason = member.trouble.reason
        message.problem_count += 1
        message.problems.append(_problem(Problem(message.path, *_of(member.trouble))))
    return message


def _of(trouble: ModelProblem) -> tuple[Reason, str, str]:
    return trouble.reason, trouble.detail, trouble.remedy


def _problem(problem: Problem) -> pb.CacheProblem:
    return pb.CacheProblem(
        file=problem.file, reason=problem.reason, detail=problem.detail, remedy=problem.remedy
    )
