"""Make a prepared form: load fp32, make the variants, let each pass the accuracy gate, and write the record last.

A form is a folder that `cache-warmer publish` takes. It counts only with its record, `form.json`, which is written by
rename after everything else. Until then the folder holds `.incomplete`; a run that finds this file, left by one that
was killed, deletes what is there and starts again. A run that fails, or is ended by a signal, deletes what it has made.
A folder that already holds the wanted form, intact, is left as it is: a step of a Job may run twice.

The gate judges each variant as the worker loads it, from the files that were written. A variant that fails is left
out. If none passes there is no record, and the error names the figures.
"""

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import PreTrainedModel

from model_cache.catalog.catalog import Model, Precision
from model_cache.errors import ModelCacheError
from model_cache.file_io import replacement
from model_cache.prepared_form import (
    RECORD_NAME,
    FormFile,
    Gate,
    GateFigure,
    PreparedForm,
    digest_of,
    dump_form,
    source_of,
)
from model_cache.reasons import Reason
from qda_worker.cpu import cpu_flags
from qda_worker.errors import ModelFailed, ModelUnusable
from qda_worker.models.engines.base import EngineUnavailable
from qda_worker.models.engines.prepared import (
    SAMPLE_NAME,
    VARIANTS,
    Variant,
    build_engine,
    missing_instructions,
    require_known_layers,
    sample_error,
)
from qda_worker.models.loading import AnyTextModel, load_model
from qda_worker.prepare.folder import (
    INCOMPLETE_NAME,
    claim_folder,
    clear_folder,
    find_finished,
    list_files,
    verify_source,
)
from qda_worker.prepare.forms import (
    recipe_of,
    record_inputs,
    require_space,
    using_engine,
    write_sample,
    write_variant,
)
from qda_worker.prepare.gate import GateAnswers, compute_answers, judge
from qda_worker.prepare.texts import Texts, calibration_texts

_LIBRARIES: Final = ("torch", "transformers", "sentence-transformers", "openvino", "nncf", "qda-worker")

Figures = Mapping[str, GateFigure]


class GateFailed(ModelCacheError):
    """No variant passed the accuracy gate.

    Attributes:
        figures: of each variant.
    """

    reason = Reason.GATE_FAILED

    def __init__(self, message: str, remedy: str, figures: Mapping[str, Figures]) -> None:
        super().__init__(message, remedy)
        self.figures = figures


@dataclass(frozen=True, slots=True)
class PreparedResult:
    """What was made.

    Attributes:
        form: the record.
        digest: the sha256 of its file.
        failed: the figures of the variants that are left out.
        unavailable: why other variants could not be made, by name.
        seconds: duration.
    """

    form: PreparedForm
    digest: str
    failed: Mapping[str, Figures]
    unavailable: Mapping[str, str]
    seconds: float


def make_form(
    model: Model,
    path: Path,
    hashes: Mapping[str, str],
    precision: Precision,
    out: Path,
    texts: Texts,
    *,
    threads: int,
    report: Callable[[str], object],
) -> PreparedResult:
    """Make a form of a model in a folder.

    Args:
        model: the catalog entry.
        path: folder of its files.
        hashes: sha256 of its files by path in that folder, as the cache's record has them.
        precision: of the form.
        out: folder of the form; missing, empty, or left by a run that was killed.
        texts: of the accuracy gate.
        threads: number of threads.
        report: called with a line about each step.

    Raises:
        GateFailed: no variant passed.
        ModelUnusable: the model cannot be loaded, or this machine cannot make any variant.
        ModelCacheError: the folder or the files of the model are not as they should be.
    """
    began = time.monotonic()
    recipes = {str(variant): recipe_of(variant) for variant in VARIANTS[precision]}
    if (finished := find_finished(out, model, hashes, precision, texts, recipes)) is not None:
        report(f"{out} has this form already")
        return PreparedResult(*finished, {}, {}, time.monotonic() - began)
    if reason := missing_instructions(precision):
        raise ModelUnusable(
            f"this CPU {reason}", "run the command on another node, or prepare another precision"
        )
    created = claim_folder(out)
    try:
        report(f"comparing the files of {model.key} with the cache's record")
        source_files = verify_source(path, hashes)
        maker = _FormMaker(model, path, precision, out, texts, threads, report)
        result = maker.make(source_files, began)
    except BaseException:
        clear_folder(out, created=created)
        raise
    return result


class _FormMaker:
    """The steps of one run. It owns the loaded model."""

    def __init__(
        self,
        model: Model,
        path: Path,
        precision: Precision,
        out: Path,
        texts: Texts,
        threads: int,
        report: Callable[[str], object],
    ) -> None:
        self._model, self._path, self._precision, self._out = model, path, precision, out
        self._texts, self._threads, self._report = texts, threads, report
        self._figures: dict[str, Figures] = {}
        self._failed: dict[str, Figures] = {}
        self._unavailable: dict[str, str] = {}
        self._errors: dict[str, float] = {}

    def make(self, source_files: tuple[FormFile, ...], began: float) -> PreparedResult:
        """Take all steps and write the record."""
        self._report(f"loading {self._model.key} in fp32")
        fp32 = self._model._replace(serving=self._model.serving._replace(precision=Precision.FP32))
        loaded = load_model(fp32, self._path, device="cpu", threads=self._threads)
        network = network_of(loaded)
        try:
            require_known_layers(network)
        except EngineUnavailable as error:
            raise ModelUnusable(f"model {self._model.key}: {error}", "serve it in fp32") from error
        require_space(network, self._precision, self._out)
        calibration = calibration_texts()
        self._report(f"computing {len(self._texts.texts)} texts of the gate in fp32")
        expected = compute_answers(loaded, self._texts.texts)
        self._report(f"computing {len(calibration.texts)} texts for the calibration")
        inputs = record_inputs(network, lambda: compute_answers(loaded, calibration.texts))
        write_sample(network, inputs, self._out)
        for variant in VARIANTS[self._precision]:
            self._report(f"making {variant}")
            try:
                write_variant(variant, network, inputs, self._out, self._threads)
                self._judge(variant, loaded, network, expected)
            except EngineUnavailable as error:
                self._unavailable[variant] = str(error)
                self._report(f"{variant} is left out: {error}")
            if variant not in self._figures:
                shutil.rmtree(self._out / variant, ignore_errors=True)
        self._require_one()
        return self._write_record(source_files, calibration, began)

    def _judge(
        self, variant: Variant, loaded: AnyTextModel, network: PreTrainedModel, expected: GateAnswers
    ) -> None:
        engine = build_engine(variant, self._out, network, self._threads)
        self._report(f"computing the texts of the gate with {variant}")
        with using_engine(network, engine):
            try:
                found = compute_answers(loaded, self._texts.texts)
            except ModelFailed:  # its numbers are not finite
                found = None
        figures = judge(expected, found, self._precision)
        passed = all(figure.passed for figure in figures.values())
        (self._figures if passed else self._failed)[variant] = figures
        self._errors[variant] = sample_error(engine, load_file(self._out / SAMPLE_NAME))
        engine.close()
        self._report(f"{variant} {'passed' if passed else 'failed'}: {describe(figures)}")

    def _require_one(self) -> None:
        if self._figures:
            return
        if not self._failed:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in self._unavailable.items())
            raise ModelUnusable(
                f"model {self._model.key}: no variant in {self._precision} can be made here: {reasons}",
                "install the extra prepare, or serve it in fp32",
            )
        lines = [f"{name}: {describe_failures(figures)}" for name, figures in self._failed.items()]
        raise GateFailed(
            f"no variant of {self._model.key} in {self._precision} is close enough to fp32: {'; '.join(lines)}",
            "serve this model in fp32, or try the other precision; nothing was written",
            self._failed,
        )

    def _write_record(
        self, source_files: tuple[FormFile, ...], calibration: Texts, began: float
    ) -> PreparedResult:
        form = PreparedForm(
            model=self._model.key,
            task=self._model.task,
            source=source_of(self._model),
            precision=self._precision,
            source_files=source_files,
            files=list_files(self._out),
            gate=Gate(True, len(self._texts.texts), self._figures),
            recipe={
                "variants": {name: recipe_of(Variant(name)) for name in self._figures},
                "sample_errors": {name: self._errors[name] for name in self._figures},
                "calibration_sha256": calibration.sha256,
                "gate_sha256": self._texts.sha256,
                "left_out": {
                    **{name: describe_failures(figures) for name, figures in self._failed.items()},
                    **self._unavailable,
                },
            },
            versions=library_versions(),
            made_on={"flags": sorted(cpu_flags()), "threads": self._threads},
        )
        content = dump_form(form)
        with replacement(self._out / RECORD_NAME) as file:
            file.write(content)
        (self._out / INCOMPLETE_NAME).unlink()
        seconds = time.monotonic() - began
        return PreparedResult(form, digest_of(content), self._failed, self._unavailable, seconds)


def network_of(loaded: AnyTextModel) -> PreTrainedModel:
    """Return the transformers network of a loaded model.

    Raises:
        ModelUnusable: when it has none.
    """
    network = getattr(loaded, "network", None)
    if not isinstance(network, PreTrainedModel):
        raise ModelUnusable(
            f"model {loaded.info.key} is no model of transformers, of which forms are made",
            "serve it in fp32",
        )
    return network


def library_versions() -> dict[str, str]:
    """Return the versions of the libraries that make a form; those that are not installed are left out."""
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions | {"numpy": np.__version__, "torch": torch.__version__}


def describe(figures: Figures) -> str:
    """Return the figures in one line."""
    return ", ".join(f"{name} {figure.value:.4f}" for name, figure in figures.items())


def describe_failures(figures: Figures) -> str:
    """Return the figures below their thresholds in one line."""
    return ", ".join(
        f"{name} {figure.value:.4f} (at least {figure.threshold:g})"
        for name, figure in figures.items()
        if not figure.passed
    )
