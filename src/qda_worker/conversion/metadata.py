"""Message parts that every response has in addition to its results: text usage, provenance, timings.

Also the proto's enum numbers for the worker's own enums, which ListModels and GetCacheStatus use as well.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Final

from model_cache.catalog.catalog import Task
from qda.v1 import model_pb2, processing_pb2, text_pb2
from qda_worker.conversion.rpc_status import build_duration
from qda_worker.models.base import LengthUnit, ModelInfo, Options, Usage
from qda_worker.models.syntax import SyntaxOptions
from qda_worker.models.vectors import VectorOptions
from qda_worker.registry.registry import ModelState, SelectedModel
from qda_worker.scheduling.jobs import Timings
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
    Task.SYNTAX: model_pb2.TASK_SYNTAX,
}
STATES: Final[Mapping[ModelState, model_pb2.ModelState.ValueType]] = {
    ModelState.WAITING: model_pb2.MODEL_STATE_WAITING_FOR_CACHE,
    ModelState.LOADING: model_pb2.MODEL_STATE_LOADING,
    ModelState.SERVING: model_pb2.MODEL_STATE_SERVING,
    ModelState.FAILED: model_pb2.MODEL_STATE_FAILED,
}


def build_usage(usage: Usage, info: ModelInfo, content: str) -> text_pb2.TextUsage:
    """Build the message that states how much of `content` a result is based on."""
    return text_pb2.TextUsage(
        outcome=_long_text_outcome(usage),
        token_count=usage.token_count,
        used_token_count=usage.used_token_count,
        limit_count=info.max_length,
        limit_unit=LENGTH_UNITS[info.length_unit],
        window_count=usage.window_count,
        character_count=len(content),
    )


def build_provenance(selected: SelectedModel, options: Options) -> processing_pb2.Provenance:
    """Build the message that identifies the model, its files and the worker's version.

    Args:
        selected: the model.
        options: those of the request: the prompt of vectors, and the layers of syntax, which decide what spaCy runs.
    """
    info = selected.engine.info
    named = options.prompt_name if isinstance(options, VectorOptions) else ""
    used = named or info.default_prompt or ""
    layers = options.returned_layers(info) if isinstance(options, SyntaxOptions) else ()
    return processing_pb2.Provenance(
        model=info.key,
        source=info.source,
        revision=info.revision,
        precision=info.precision,
        worker_version=worker_version(),
        model_digest=selected.digest,
        generation=selected.generation,
        engines=info.engines.names if info.engines else (),
        prompt_name=used,
        prompt=info.prompts.get(used, ""),
        components=info.components_for(layers),
    )


def build_timings(texts: Iterable[Timings], started: float) -> processing_pb2.Timings:
    """Build the timings of a request from those of its texts.

    Args:
        texts: the time of each text in queue, tokenizer and model.
        started: when the request began, by `time.monotonic`; the total is the time since then. So this is the last
            part of a response to be built.
    """
    timings = list(texts)
    return processing_pb2.Timings(
        queue_duration=build_duration(max((each.queue for each in timings), default=0.0)),
        tokenize_duration=build_duration(sum(each.tokenize for each in timings)),
        compute_duration=build_duration(sum(each.compute for each in timings)),
        total_duration=build_duration(time.monotonic() - started),
    )


def _long_text_outcome(usage: Usage) -> text_pb2.LongTextOutcome.ValueType:
    if usage.cut:
        return text_pb2.LONG_TEXT_OUTCOME_CUT
    return text_pb2.LONG_TEXT_OUTCOME_WINDOWED if usage.window_count > 1 else text_pb2.LONG_TEXT_OUTCOME_WHOLE
