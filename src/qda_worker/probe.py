"""`python -m qda_worker.probe KEY`: loads one model offline, asks it, prints what it said, and ends.

A program of its own, because loading may crash, hang or take all memory, and `cache-check --load` must survive that to
say so. Questions come as a JSON list on stdin (an empty one: this task's fixed questions); one JSON document goes to
stdout: `{"answers": [{"kind", "text", "other", "value"}], "seconds"}`, or `{"reason", "message", "remedy"}`.

Asks a loaded model the questions by which it is known again (model_cache.catalog.expected_answers).

Nothing here compares: whoever asked has the answers of another day, or takes these for the first.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TextIO

from model_cache.catalog.catalog import Task
from model_cache.catalog.expected_answers import VECTOR_BEGINNING, Kind, Question
from model_cache.catalog.parse import load_catalog
from model_cache.cli.options import CACHE, CATALOG, find_places
from model_cache.cli.parser import OptionParser
from model_cache.errors import ModelCacheError
from model_cache.layout import model_path
from model_cache.reasons import Reason
from qda_worker.cli import require_worker_extra
from qda_worker.cpu import usable_cpus
from qda_worker.errors import ModelUnusable, WorkerError
from qda_worker.models.base import ModelInfo, Options, TextModel, VectorKind
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
    from qda_worker.probe import ask, fixed_questions, questions_of

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


_DIGITS: Final = 6
_FRIENDLY: Final = "Das Gespräch mit Frau Müller in Köln war sehr angenehm."
_SAME: Final = "Die Unterhaltung mit Frau Müller in Köln verlief sehr freundlich."
_UNFRIENDLY: Final = "Leider hat mir auf der Station niemand geholfen."
_NAMES: Final = "Angela Merkel wurde in Hamburg geboren und arbeitete in Berlin für die Bundesregierung."


def fixed_questions(info: ModelInfo) -> tuple[Question, ...]:
    """What a model of its task is asked where nobody says otherwise."""
    if info.task is Task.SENTIMENT:
        texts = (_FRIENDLY, _UNFRIENDLY)
        return tuple(Question(kind, text) for text in texts for kind in (Kind.LABEL, Kind.PROBABILITIES))
    if info.task is Task.ENTITIES:
        return (Question(Kind.LABELS), Question(Kind.ENTITIES, _FRIENDLY), Question(Kind.ENTITIES, _NAMES))
    questions = [
        Question(Kind.DIMENSION),
        Question(Kind.VECTOR, _FRIENDLY),
        Question(Kind.SIMILARITY, _FRIENDLY, _SAME),
        Question(Kind.SIMILARITY, _FRIENDLY, _UNFRIENDLY),
    ]
    if VectorKind.SPARSE in info.vector_kinds:
        questions.append(Question(Kind.SPARSE, _FRIENDLY))
    if VectorKind.MULTI_VECTOR in info.vector_kinds:
        questions.append(Question(Kind.MAX_SIMILARITY, _FRIENDLY, _SAME))
    return tuple(questions)


def ask(model: TextModel[Any, Any, Any], question: Question) -> object:
    """The model's answer, as JSON can hold it. Raises ModelUnusable if the question is not one for it."""
    if question.kind is Kind.LABELS:
        return list(model.info.labels)
    if question.kind is Kind.DIMENSION:
        return model.info.dimension
    if _TASKS[question.kind] != (model.info.task is Task.SENTIMENT, model.info.task is Task.ENTITIES):
        raise ModelUnusable(
            f"it is asked for {question}, which no model of the task {model.info.task} answers",
            "correct the answers in the lock, or the task in the catalog",
        )
    if question.kind is Kind.LABEL:
        return str(_answer(model, question.text).sentiment)
    if question.kind is Kind.PROBABILITIES:
        probabilities = _answer(model, question.text).probabilities
        return {str(name): round(float(share), _DIGITS) for name, share in sorted(probabilities.items())}
    if question.kind is Kind.ENTITIES:
        return [[entity.start, entity.end, entity.label] for entity in _answer(model, question.text)]
    return _about_vectors(model, question)


# Whether a kind is one for sentiment, and for entities; else it is one for models that give vectors.
_TASKS: Final = {
    Kind.LABEL: (True, False),
    Kind.PROBABILITIES: (True, False),
    Kind.ENTITIES: (False, True),
    Kind.VECTOR: (False, False),
    Kind.SIMILARITY: (False, False),
    Kind.SPARSE: (False, False),
    Kind.MAX_SIMILARITY: (False, False),
}


def _about_vectors(model: TextModel[Any, Any, Any], question: Question) -> object:
    import numpy as np  # here: a model of entities needs none

    from qda_worker.models.pair_search import normalise_rows

    kind = {Kind.SPARSE: VectorKind.SPARSE, Kind.MAX_SIMILARITY: VectorKind.MULTI_VECTOR}.get(question.kind)
    if kind is not None and kind not in model.info.vector_kinds:
        raise ModelUnusable(
            f"it is asked for {question}, and its files hold no head for that",
            "list sparse_linear.pt and colbert_linear.pt under `files` in the catalog, or correct the lock",
        )
    texts = [text for text in (question.text, question.other) if text]
    vectors = [_vectors(model, text, kind or VectorKind.DENSE) for text in texts]
    if question.kind is Kind.VECTOR:
        return [round(float(number), _DIGITS) for number in vectors[0].dense[:VECTOR_BEGINNING]]
    if question.kind is Kind.SPARSE:
        weights = vectors[0].sparse
        return _by_token(zip(weights.tokens, weights.weights, strict=True))
    if question.kind is Kind.SIMILARITY:
        both = normalise_rows(np.stack([one.dense for one in vectors]))
        return round(float(both[0] @ both[1]), _DIGITS)
    products = vectors[0].multi @ vectors[1].multi.T
    return round(float(products.max(axis=1).mean()), _DIGITS)


def _by_token(weights: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Each token's greatest weight, under the token as people read it: without the mark of a word's beginning."""
    named: dict[str, float] = {}
    for token, weight in weights:
        named.setdefault(token.lstrip("▁"), round(float(weight), _DIGITS))
    return named


def _vectors(model: TextModel[Any, Any, Any], text: str, kind: VectorKind) -> Any:
    from qda_worker.models.vectors import VectorOptions

    return _answer(model, text, VectorOptions(kinds=frozenset({kind})))


def _answer(model: TextModel[Any, Any, Any], text: str, options: Options | None = None) -> Any:
    prepared = model.prepare(text, options or Options())
    return model.finish(text, prepared, model.compute(prepared.units)).answer


def questions_of(document: Sequence[dict[str, str]]) -> tuple[Question, ...]:
    """The questions that a parent sent as JSON."""
    return tuple(Question(Kind(one["kind"]), one.get("text", ""), one.get("other", "")) for one in document)
