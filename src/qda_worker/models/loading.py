"""Load a catalog model from its folder in the cache and test it with one text.

A load runs in the thread of the caller and blocks for seconds to minutes. Every failure becomes one ModelUnusable that
names the model, the cause and a remedy; the traceback goes to the log at debug level. Model libraries are imported when
the first model needs them: a worker that serves only entities loads no torch.
"""

import dataclasses
import functools
import logging
import threading
from pathlib import Path
from typing import Any, Final, TypeAlias

from model_cache.catalog.catalog import Model, Precision, Task
from model_cache.errors import UsageError
from model_cache.prepared_store import StoredForm
from qda_worker.errors import BatchLost, DeviceLost, LoadInterrupted, ModelDied, ModelUnusable, WorkerError
from qda_worker.heap import return_free_memory
from qda_worker.models.base import InstalledEngines, Options, TextModel
from qda_worker.models.batch_budget import BatchBudget
from qda_worker.models.load_errors import explain_load_error
from qda_worker.models.pauses import TakeTurn, only_turn

AnyTextModel: TypeAlias = TextModel[Any, Any, Any]

# Text of the self-test.
_SAMPLE: Final = "Das Gespräch mit Frau Müller in Köln war sehr angenehm."

# Tokens per batch. Measured on two cores with the shapes of XLM-R large: 1,024 is 1.4 times as fast as 4,096.
_CPU_BUDGET: Final = BatchBudget(length=1024, units=64)
# Characters per batch: about 2,000 words, which take de_core_news_lg a quarter of a second.
_SPACY_BUDGET: Final = BatchBudget(length=12_000, units=64, padding=0.0, coarse_pauses=True)

# How long the self-test may take before a process that computes it is killed, in seconds.
_SELF_TEST_SECONDS: Final = 120.0

_LOG: Final = logging.getLogger(__name__)


def load_model(
    model: Model,
    path: Path,
    *,
    device: str,
    threads: int,
    engine: str = "torch",
    form: StoredForm | None = None,
    take_turn: TakeTurn = only_turn,
) -> AnyTextModel:
    """Load a model and test it. Opens no connection and writes nothing below `path`.

    Args:
        model: the catalog entry.
        path: folder of the model's files.
        device: auto, cpu or cuda; auto uses cuda if there is a device that can compute the model.
        threads: number of threads for the computation. torch has one number for the whole process: the last one set.
        engine: what computes encoder layers: a name, or auto, which measures which one is fastest on the CPU.
        form: the prepared form of a model that is not served in fp32, with intact files; else None.
        take_turn: waits for a turn at the CPUs in which engines are measured.

    Raises:
        ModelUnusable: when the model cannot be loaded or fails the test.
        LoadInterrupted: when its process ended or hung, so that another attempt may succeed.
        UsageError: when the worker extra is not installed.
    """
    try:
        loaded = _load(model, path, device, threads, engine, form, take_turn)
    except ModelUnusable as error:
        raise type(error)(f"model {model.key}: {error.message}", error.remedy) from error
    except ModuleNotFoundError as error:
        _LOG.debug("loading %s failed", model.key, exc_info=True)
        raise UsageError(
            f"model {model.key} needs the Python package {error.name}, which is not installed",
            "install the worker extra: pip install 'qda-worker[worker]'",
        ) from error
    except Exception as error:  # libraries raise anything for a damaged or foreign file
        _LOG.debug("loading %s failed", model.key, exc_info=True)
        cause = explain_load_error(error, path)
        raise ModelUnusable(f"model {model.key}: {cause.message}", cause.remedy) from error
    try:
        self_test(loaded)
    except ModelUnusable as error:
        loaded.close()
        raise type(error)(f"model {model.key}: {error.message}", error.remedy) from error
    return_free_memory()
    return loaded


def self_test(model: AnyTextModel) -> None:
    """Compute a fixed German sentence.

    Raises:
        ModelUnusable: when the model fails.
        LoadInterrupted: when its process ended, or hung and was killed.
    """
    timer = threading.Timer(_SELF_TEST_SECONDS, model.abort, (0.0,))
    timer.daemon = True
    timer.start()
    try:
        prepared = model.prepare(_SAMPLE, _sample_options(model))
        model.finish(_SAMPLE, prepared, model.compute(prepared.units))
    except (BatchLost, ModelDied) as error:
        raise LoadInterrupted(
            f"it was loaded, but failed its self-test: {error.message}", error.remedy
        ) from error
    except WorkerError as error:
        raise ModelUnusable(
            f"it was loaded, but failed its self-test: {error.message}", error.remedy
        ) from error
    except Exception as error:
        _LOG.debug("%s failed its self-test", model.info.key, exc_info=True)
        raise ModelUnusable(
            f"it was loaded, but failed its self-test: {type(error).__name__}",
            "see the log at debug level; does the catalog name the right task for this model?",
        ) from error
    finally:
        timer.cancel()


def _sample_options(model: AnyTextModel) -> Options:
    """Return options with which all of a model is run."""
    if not model.info.syntax_layers:
        return Options()
    from qda_worker.models.syntax import SyntaxOptions

    return SyntaxOptions()


def _load(
    model: Model,
    path: Path,
    device: str,
    threads: int,
    engine: str,
    form: StoredForm | None,
    take_turn: TakeTurn,
) -> AnyTextModel:
    precision = model.serving.precision
    if precision is not Precision.FP32 and form is None:
        raise ModelUnusable(
            f"serving.precision {precision} needs a prepared form",
            "run qda-worker prepare, then cache-warmer publish",
        )
    if not path.is_dir():
        raise ModelUnusable(f"its folder {path} is missing", "run cache-check, then cache-warmer warm")
    if model.task.uses_spacy:
        from qda_worker.models.spacy_model import load_spacy

        return load_spacy(model, path, threads, _SPACY_BUDGET)
    from qda_worker.models.library_imports import import_libraries

    import_libraries(vectors=model.task is not Task.SENTIMENT)
    import torch
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # no bars in a server's log
    torch.set_num_threads(threads)
    install = functools.partial(
        _install_engine, device=device, wanted=engine, threads=threads, form=form, take_turn=take_turn
    )
    if model.task is Task.SENTIMENT:
        from qda_worker.models.sentiment import load_sentiment

        return load_sentiment(model, path, _CPU_BUDGET, install)
    from qda_worker.models.embedding import load_embedding

    return load_embedding(model, path, _CPU_BUDGET, install)


def _install_engine(
    network: Any, *, device: str, wanted: str, threads: int, form: StoredForm | None, take_turn: TakeTurn
) -> InstalledEngines:
    """Let an engine compute a network: on a CUDA device if it is wanted and usable, else on the CPU.

    Raises:
        ModelUnusable: when the wanted engine or device cannot compute it.
        DeviceLost: when the wanted device has failed in this process.
    """
    from qda_worker.models.device_failures import DEVICE_STATE
    from qda_worker.models.engines.base import EngineName, EngineUnavailable
    from qda_worker.models.engines.cuda import CudaUse, NoCard, cuda_use, find_card, install_cuda

    use, unusable = cuda_use(device, wanted), ""
    if use is CudaUse.ALWAYS and DEVICE_STATE.failure:
        raise DeviceLost(DEVICE_STATE.failure, "restart the worker; if it happens again, check the device")
    if use is not CudaUse.NEVER:
        try:
            if DEVICE_STATE.failure:
                raise EngineUnavailable(DEVICE_STATE.failure)
            return install_cuda(
                network,
                find_card(),
                tf32=wanted == EngineName.CUDA_TF32,
                form=None if form is None else (form.folder, form.form),
            )
        except EngineUnavailable as error:
            if use is CudaUse.ALWAYS:
                raise ModelUnusable(str(error), "serve with --device cpu and --engine auto") from error
            if not isinstance(error, NoCard):
                _LOG.warning("the CPU computes: %s", error)
                unusable = f"cuda: {error}"
    installed = _install_on_cpu(network, wanted, threads, form, take_turn)
    reasons = filter(None, (unusable, installed.unavailable))
    return dataclasses.replace(installed, unavailable="; ".join(reasons))


def _install_on_cpu(
    network: Any, wanted: str, threads: int, form: StoredForm | None, take_turn: TakeTurn
) -> InstalledEngines:
    """Let an engine compute the encoder of a network on the CPU.

    Raises:
        ModelUnusable: when the wanted engine cannot compute it.
    """
    from qda_worker.models.engines.base import EngineName, EngineUnavailable
    from qda_worker.models.engines.selection import install_engine

    name = None if wanted == "auto" else EngineName(wanted)
    try:
        if form is not None:
            from qda_worker.models.engines.prepared import install_form

            return install_form(network, form.folder, form.form, name, threads, take_turn)
        return install_engine(network, name, threads, take_turn)
    except EngineUnavailable as error:
        if form is not None:
            raise ModelUnusable(
                f"its prepared form in {form.form.precision} cannot be used: {error}",
                "serve on another node, prepare the form again with this release, or set serving.precision to fp32",
            ) from error
        raise ModelUnusable(
            f"the engine {wanted} cannot compute it: {error}", "serve with --engine auto or torch"
        ) from error
