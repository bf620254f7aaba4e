"""From a catalog's model and its folder in the cache to a model that has answered once.

Every way of failing becomes one ModelUnusable that names the model, the cause and a remedy; the trace goes to the log
at debug level. Libraries are imported when a model needs them: a worker of entities alone loads no torch.
"""

import logging
from pathlib import Path
from typing import Any, Final, TypeAlias

from model_cache.catalog.catalog import Model, Precision, Task
from model_cache.errors import UsageError
from qda_worker.errors import ModelUnusable, WorkerError
from qda_worker.models.base import BatchBudget, Options, TextModel
from qda_worker.models.load_errors import explain

_LOG: Final = logging.getLogger(__name__)

AnyTextModel: TypeAlias = TextModel[Any, Any, Any]

_PROBE: Final = "Das Gespräch mit Frau Müller in Köln war sehr angenehm."

# Tokens a padded batch. Measured on two cores with XLM-R-large shapes: 1,024 beats 4,096 by 1.4.
_CPU_BUDGET: Final = BatchBudget(length=1024, units=64)
# Tokens a padded batch; the default of text-embeddings-inference for its GPUs.
_CUDA_BUDGET: Final = BatchBudget(length=16384, units=512)
# Characters a batch: some 2,000 words, a quarter of a second of de_core_news_lg; nobody waits long behind
# it.
_SPACY_BUDGET: Final = BatchBudget(length=12_000, units=64, padded=False)


def load_model(model: Model, path: Path, *, device: str, threads: int) -> AnyTextModel:
    """Loads `model` from the folder `path` and lets it answer once.

    device: auto, cpu or cuda; auto takes cuda where it is. threads: how many the computation may use; torch has one
    number for the whole process, the last that was set. Opens no connection and writes nothing below `path`.
    Raises ModelUnusable, or UsageError if the worker extra is not installed.
    """
    try:
        loaded = _load(model, path, device, threads)
    except ModelUnusable as error:
        raise ModelUnusable(f"model {model.key}: {error.message}", error.remedy) from error
    except ModuleNotFoundError as error:
        _LOG.debug("loading %s failed", model.key, exc_info=True)
        raise UsageError(
            f"model {model.key} needs the Python package {error.name}, which is not installed",
            "install the worker extra: pip install 'qda-worker[worker]'",
        ) from error
    except Exception as error:  # libraries raise anything over a damaged or foreign file
        _LOG.debug("loading %s failed", model.key, exc_info=True)
        cause = explain(error, path)
        raise ModelUnusable(f"model {model.key}: {cause.message}", cause.remedy) from error
    try:
        answer_once(loaded)
    except ModelUnusable as error:
        loaded.close()
        raise ModelUnusable(f"model {model.key}: {error.message}", error.remedy) from error
    return loaded


def answer_once(model: AnyTextModel) -> object:
    """The answer to a fixed German sentence. Raises ModelUnusable if there is none."""
    try:
        prepared = model.prepare(_PROBE, Options())
        return model.finish(_PROBE, prepared, model.compute(prepared.units))
    except WorkerError as error:
        raise ModelUnusable(f"it loaded and then could not answer: {error.message}", error.remedy) from error
    except Exception as error:
        _LOG.debug("%s could not answer", model.info.key, exc_info=True)
        raise ModelUnusable(
            f"it loaded and then could not answer: {type(error).__name__}",
            "see the log at debug level; does the catalog name the right task for this model?",
        ) from error


def _load(model: Model, path: Path, device: str, threads: int) -> AnyTextModel:
    if model.serving.precision is not Precision.FP32:
        raise ModelUnusable(
            f"serving.precision {model.serving.precision} needs a prepared form, and this release reads none",
            "set serving.precision to fp32",
        )
    if not path.is_dir():
        raise ModelUnusable(f"its folder {path} is missing", "run cache-check, then cache-warmer warm")
    if model.task is Task.ENTITIES:
        from qda_worker.models.entities import load_entities

        return load_entities(model, path, threads, _SPACY_BUDGET)
    import torch
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # no bars in a server's log
    torch.set_num_threads(threads)
    place = _device(device)
    budget = _CPU_BUDGET if place == "cpu" else _CUDA_BUDGET
    if model.task is Task.SENTIMENT:
        from qda_worker.models.sentiment import load_sentiment

        return load_sentiment(model, path, place, budget)
    from qda_worker.models.embedding import load_embedding

    return load_embedding(model, path, place, budget)


def _device(wanted: str) -> str:
    import torch

    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise ModelUnusable(
            "this machine has no CUDA device that torch can use", "serve with --device auto or cpu"
        )
    return "cuda" if there and wanted != "cpu" else "cpu"
