"""The forward pass of a prepared form alone, with one engine: what a worker that serves the form is measured by.

    python -m benchmarks.bare_form --catalog FILE --cache DIR --model KEY --engine torch --threads 2

It answers requests on stdin as `peers/program.py` does.
"""

import argparse
from pathlib import Path

from benchmarks.peers.program import Bare, answer_requests, private_stdout
from model_cache.catalog.parse import load_catalog
from model_cache.layout import model_path
from model_cache.places import resolve_places
from qda_worker.models.form_lookup import find_form
from qda_worker.models.loading import load_model
from qda_worker.prepare.prepare import network_of


def main() -> None:
    """Load the model with its form and answer requests until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--catalog", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--engine", required=True, choices=["auto", "torch", "openvino"])
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    answers = private_stdout()
    model = load_catalog(options.catalog).model(options.model)
    places = resolve_places(str(options.cache), {}, options.catalog.parent)
    path = model_path(places, model)
    form = find_form(model, places, None, "python -m benchmarks prepare")
    loaded = load_model(model, path, device="cpu", threads=options.threads, engine=options.engine, form=form)
    answer_requests(Bare(network_of(loaded), str(path)), answers)


if __name__ == "__main__":
    main()
