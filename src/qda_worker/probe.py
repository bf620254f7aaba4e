"""`python -m qda_worker.probe KEY`: loads one model offline, asks it, prints what it said, and ends.

A program of its own, because loading may crash, hang or take all memory, and `cache-check --load` must survive that to
say so. Questions come as a JSON list on stdin (an empty one: this task's fixed questions); one JSON document goes to
stdout: `{"answers": [{"kind", "text", "other", "value"}], "seconds"}`, or `{"reason", "message", "remedy"}`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TextIO

from model_cache.catalogs.catalog_file import load_catalog
from model_cache.errors import ModelCacheError
from model_cache.layout import model_path
from model_cache.programs.options import CACHE, CATALOG, find_places
from model_cache.programs.parser import OptionParser
from model_cache.reasons import Reason
from qda_worker.cli import require_worker_extra
from qda_worker.cpu import usable_cpus
from qda_worker.errors import ModelUnusable, WorkerError
from qda_worker.offline import OFFLINE
from qda_worker.settings import DEVICE


def probe(argv: Sequence[str], environ: Mapping[str, str], questions: str) -> dict[str, object]:
    """Load the model and give the document. Raises ModelCacheError."""
    parser = OptionParser(prog="qda_worker.probe", description="Load one model and ask it.")
    parser.add_argument("key", metavar="KEY")
    for option in (CATALOG, CACHE, DEVICE):
        option.add_to(parser)
    arguments = parser.parse_args(argv)
    model = load_catalog(CATALOG.value(arguments, environ)).model(arguments.key)
    path = model_path(find_places(CACHE.value(arguments, environ), environ), model)
    require_worker_extra()
    from qda_worker.models.loading import load_model  # here: heavy
    from qda_worker.probing import ask, fixed_questions, questions_of

    began = time.monotonic()
    loaded = load_model(model, path, device=DEVICE.value(arguments, environ), threads=usable_cpus())
    try:
        asked = questions_of(json.loads(questions)) or fixed_questions(loaded.info)
        answers = [{**question._asdict(), "value": ask(loaded, question)} for question in asked]
    except WorkerError as error:
        raise ModelUnusable(
            f"model {model.key} loaded and then could not answer: {error.message}", error.remedy
        ) from error
    finally:
        loaded.close()
    return {"answers": answers, "seconds": round(time.monotonic() - began, 3)}


def main(argv: Sequence[str], stdin: TextIO, out: TextIO) -> int:
    """Print the document of a probe, or of its failure; the exit code."""
    try:
        document, code = probe(argv, os.environ, stdin.read()), 0
    except ModelCacheError as error:
        document = {"reason": str(error.reason), "message": error.message, "remedy": error.remedy}
        code = error.reason.exit_code
    except Exception as error:  # noqa: BLE001  # the edge of a program whose parent reports what it said
        said = f"{type(error).__name__}: {error}"
        document = {"reason": str(Reason.MODEL_UNUSABLE), "message": said, "remedy": "report this"}
        code = Reason.MODEL_UNUSABLE.exit_code
    out.write(json.dumps(document, ensure_ascii=True) + "\n")
    out.flush()
    return code


if __name__ == "__main__":
    # Libraries print what they like; stdout is the parent's, so theirs goes to stderr.
    answers_to = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.environ.update(OFFLINE)
    sys.exit(main(sys.argv[1:], sys.stdin, answers_to))
