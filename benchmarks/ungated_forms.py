"""Make a prepared form of a model with random weights, to measure its speed: `qda-worker prepare` without thresholds.

    python -m benchmarks.ungated_forms --catalog FILE --cache DIR --model KEY --precision int8 --out DIR

Random weights cannot pass the accuracy gate: the numbers of such a network mean nothing, so rounding moves them far.
How fast a form computes depends on its shapes only. So the files are made by the functions of `qda-worker prepare`, and
the figures of the gate are measured on a few texts and recorded, but with a threshold that every number passes. The
record says so in its recipe. The product has no such way.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from model_cache.catalog.catalog import Model, Precision
from model_cache.catalog.parse import load_catalog
from model_cache.file_io import replacement
from model_cache.layout import model_path
from model_cache.places import resolve_places
from model_cache.prepared_form import RECORD_NAME, Gate, GateFigure, PreparedForm, dump_form, source_of
from model_cache.prepared_store import read_source_hashes
from qda_worker.cpu import cpu_flags
from qda_worker.models.engines.base import EngineUnavailable
from qda_worker.models.engines.prepared import (
    SAMPLE_NAME,
    VARIANTS,
    build_engine,
    missing_instructions,
    sample_error,
)
from qda_worker.models.loading import load_model
from qda_worker.prepare.cli import quiet_stdout
from qda_worker.prepare.folder import list_files, verify_source
from qda_worker.prepare.forms import recipe_of, record_inputs, using_engine, write_sample, write_variant
from qda_worker.prepare.gate import compute_answers, judge
from qda_worker.prepare.prepare import library_versions, network_of
from qda_worker.prepare.texts import calibration_texts, gate_texts

# Texts of the calibration and of the figures: the shapes of the form do not depend on them.
_TEXTS: Final = 24
# Every figure is at least -1.
_NO_THRESHOLD: Final = -1.0


def make_ungated_form(
    model: Model, path: Path, hashes: Mapping[str, str], precision: Precision, out: Path, threads: int
) -> PreparedForm:
    """Make a form in an empty folder, and return its record.

    Args:
        model: the catalog entry.
        path: folder of its files.
        hashes: sha256 of its files by path in that folder.
        precision: bf16 or int8.
        out: an empty folder.
        threads: number of threads.

    Raises:
        EngineUnavailable: this machine cannot compute in that precision, or no variant can be made.
        ModelCacheError: the model cannot be loaded.
    """
    from safetensors.torch import load_file

    if reason := missing_instructions(precision):
        raise EngineUnavailable(f"this CPU {reason}")
    source_files = verify_source(path, hashes)
    fp32 = model._replace(serving=model.serving._replace(precision=Precision.FP32))
    loaded = load_model(fp32, path, device="cpu", threads=threads)
    network = network_of(loaded)
    texts = gate_texts().texts[:_TEXTS]
    expected = compute_answers(loaded, texts)
    inputs = record_inputs(network, lambda: compute_answers(loaded, calibration_texts().texts[:_TEXTS]))
    write_sample(network, inputs, out)
    figures: dict[str, dict[str, GateFigure]] = {}
    errors: dict[str, float] = {}
    left_out: dict[str, str] = {}
    for variant in VARIANTS[precision]:
        try:
            write_variant(variant, network, inputs, out, threads)
            engine = build_engine(variant, out, network, threads)
        except EngineUnavailable as error:
            left_out[variant] = str(error)
            continue
        with using_engine(network, engine):
            judged = judge(expected, compute_answers(loaded, texts), precision)
        figures[variant] = {
            name: GateFigure(figure.value, _NO_THRESHOLD, True) for name, figure in judged.items()
        }
        errors[variant] = sample_error(engine, load_file(out / SAMPLE_NAME))
        engine.close()
    if not figures:
        raise EngineUnavailable("; ".join(left_out.values()))
    form = PreparedForm(
        model=model.key,
        task=model.task,
        source=source_of(model),
        precision=precision,
        source_files=source_files,
        files=list_files(out),
        gate=Gate(True, len(texts), figures),
        recipe={
            "purpose": "benchmark of a model with random weights, without an accuracy gate",
            "variants": {
                variant: recipe_of(variant) for variant in VARIANTS[precision] if variant in figures
            },
            "sample_errors": errors,
            "left_out": left_out,
        },
        versions=library_versions(),
        made_on={"flags": sorted(cpu_flags()), "threads": threads},
    )
    with replacement(out / RECORD_NAME) as file:
        file.write(dump_form(form))
    return form


def main() -> int:
    """Make the form of a model in a cache, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--catalog", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--precision", type=Precision, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    model = load_catalog(options.catalog).model(options.model)
    places = resolve_places(str(options.cache), {}, options.catalog.parent)
    hashes = read_source_hashes(model, places, None)
    if hashes is None:
        raise SystemExit(f"{options.cache} has no complete model {model.key}")
    options.out.mkdir(parents=True)
    try:
        with quiet_stdout():
            form = make_ungated_form(
                model, model_path(places, model), hashes, options.precision, options.out, options.threads
            )
    except EngineUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{form.bytes / 1e6:.0f} MB, {', '.join(form.variants)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
