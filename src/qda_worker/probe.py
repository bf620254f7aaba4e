"""`python -m qda_worker.probe KEY`: load one model offline, compute its answers to questions, print them, and exit.

`cache-check --load` runs this program as a child process (`model_cache.check.load`), because loading a model may crash,
hang or exhaust the memory, and the check must survive that to report it. Questions arrive as a JSON list on stdin; an
empty list means the default questions of the model's task. One JSON document goes to stdout:
`{"answers": [{"kind", "text", "other", "value"}], "seconds"}`, or `{"reason", "message", "remedy"}` on failure.

Libraries may print to stdout, so file descriptor 1 is redirected to stderr, and the document is written to a duplicate
of the original one.

Nothing is compared here: the parent compares the answers with the expected ones of the lock
(`model_cache.catalog.expected_answers`), or records them.
"""

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TextIO

from model_cache.catalog.catalog import Task
from model_cache.catalog.expected_answers import VECTOR_PREFIX_LENGTH, Question, QuestionKind
from model_cache.catalog.lock import load_lock
from model_cache.catalog.parse import load_catalog
from model_cache.cli.options import (
    CACHE,
    CATALOG,
    LogLevel,
    OutputFormat,
    SharedOptions,
    find_places,
    prepare_command,
)
from model_cache.cli.parser import OptionParser
from model_cache.errors import ModelCacheError
from model_cache.layout import model_path
from model_cache.reasons import Reason
from qda_worker.cli import require_worker_extra
from qda_worker.cpu import configure_math_libraries, cpu_budget
from qda_worker.errors import ModelUnusable, WorkerError
from qda_worker.models.base import ModelInfo, Options, TextModel, VectorKind
from qda_worker.models.form_lookup import find_form
from qda_worker.offline import OFFLINE
from qda_worker.serve_options import DEVICE, THREADS

# Decimal places of recorded numbers: float32 differs between processors beyond them.
_DECIMALS: Final = 6

# German texts of the default questions: two with a similar meaning, one with another, and one with names.
_FRIENDLY: Final = "Das Gespräch mit Frau Müller in Köln war sehr angenehm."
_PARAPHRASE: Final = "Die Unterhaltung mit Frau Müller in Köln verlief sehr freundlich."
_UNFRIENDLY: Final = "Leider hat mir auf der Station niemand geholfen."
_NAMES: Final = "Angela Merkel wurde in Hamburg geboren und arbeitete in Berlin für die Bundesregierung."

_SENTIMENT_KINDS: Final = frozenset({QuestionKind.LABEL, QuestionKind.PROBABILITIES})
_ENTITY_KINDS: Final = frozenset({QuestionKind.ENTITIES, QuestionKind.TOKENS})


def main(argv: Sequence[str], stdin: TextIO, out: TextIO) -> int:
    """Print the document of a probe, or of its failure, and return the exit code."""
    try:
        document, code = run_probe(argv, os.environ, stdin.read()), 0
    except ModelCacheError as error:
        document = {"reason": str(error.reason), "message": error.message, "remedy": error.remedy}
        code = error.reason.exit_code
    except Exception as error:  # noqa: BLE001  # the outermost level; the parent reports the message
        message = f"{type(error).__name__}: {error}"
        document = {"reason": str(Reason.MODEL_UNUSABLE), "message": message, "remedy": "report this"}
        code = Reason.MODEL_UNUSABLE.exit_code
    out.write(json.dumps(document, ensure_ascii=True) + "\n")
    out.flush()
    return code


def run_probe(argv: Sequence[str], environ: Mapping[str, str], questions: str) -> dict[str, object]:
    """Load the model, compute the answers, and return the document to print.

    Args:
        argv: the command line.
        environ: the environment variables.
        questions: a JSON list of questions; an empty list means the default questions.

    Raises:
        ModelCacheError: the command line is wrong, or the model cannot be loaded or cannot answer.
    """
    parser = OptionParser(prog="qda_worker.probe", description="Load one model and let it answer questions.")
    parser.add_argument("key", metavar="KEY")
    for option in (CATALOG, CACHE, DEVICE, THREADS):
        option.add_to(parser)
    arguments = parser.parse_args(argv)
    threads = cpu_budget(environ, threads=THREADS.value(arguments, environ)).threads
    configure_math_libraries(os.environ, threads)  # before numpy and torch are imported
    catalog = CATALOG.value(arguments, environ)
    model = load_catalog(catalog).model(arguments.key)
    places = find_places(CACHE.value(arguments, environ), environ)
    require_worker_extra()
    from qda_worker.models.loading import load_model  # imports torch and spaCy

    began = time.monotonic()
    shared = SharedOptions(catalog, places.label, (), OutputFormat.JSON, LogLevel.WARNING)
    command = prepare_command(shared, environ, model.key, model.serving.precision)
    form = find_form(model, places, load_lock(catalog), command)
    loaded = load_model(
        model, model_path(places, model), device=DEVICE.value(arguments, environ), threads=threads,
        engine="torch" if form is None else "auto", form=form,
    )  # fmt: skip
    try:
        parsed = parse_questions(json.loads(questions)) or default_questions(loaded.info)
        answers = [{**question._asdict(), "value": answer_question(loaded, question)} for question in parsed]
    except WorkerError as error:
        raise ModelUnusable(
            f"model {model.key} was loaded but cannot answer: {error.message}", error.remedy
        ) from error
    finally:
        loaded.close()
    return {"answers": answers, "seconds": round(time.monotonic() - began, 3)}


def parse_questions(document: Sequence[dict[str, str]]) -> tuple[Question, ...]:
    """Return the questions of a JSON list."""
    return tuple(
        Question(QuestionKind(one["kind"]), one.get("text", ""), one.get("other", "")) for one in document
    )


def default_questions(info: ModelInfo) -> tuple[Question, ...]:
    """Return the questions for a model of this task if the parent sends none."""
    if info.task is Task.SENTIMENT:
        texts = (_FRIENDLY, _UNFRIENDLY)
        return tuple(
            Question(kind, text)
            for text in texts
            for kind in (QuestionKind.LABEL, QuestionKind.PROBABILITIES)
        )
    if info.task is Task.ENTITIES:
        return (
            Question(QuestionKind.LABELS),
            Question(QuestionKind.ENTITIES, _FRIENDLY),
            Question(QuestionKind.ENTITIES, _NAMES),
            Question(QuestionKind.TOKENS, _NAMES),
        )
    if info.task is Task.SYNTAX:
        return (Question(QuestionKind.TOKENS, _FRIENDLY), Question(QuestionKind.TOKENS, _NAMES))
    questions = [
        Question(QuestionKind.DIMENSION),
        Question(QuestionKind.VECTOR, _FRIENDLY),
        Question(QuestionKind.SIMILARITY, _FRIENDLY, _PARAPHRASE),
        Question(QuestionKind.SIMILARITY, _FRIENDLY, _UNFRIENDLY),
    ]
    if VectorKind.SPARSE in info.vector_kinds:
        questions.append(Question(QuestionKind.SPARSE, _FRIENDLY))
    if VectorKind.MULTI_VECTOR in info.vector_kinds:
        questions.append(Question(QuestionKind.MAX_SIMILARITY, _FRIENDLY, _PARAPHRASE))
    return tuple(questions)


def answer_question(model: TextModel[Any, Any, Any], question: Question) -> object:
    """Return the model's answer as a JSON value.

    Raises:
        ModelUnusable: a model of this task cannot answer a question of this kind.
    """
    if question.kind is QuestionKind.LABELS:
        return list(model.info.labels)
    if question.kind is QuestionKind.DIMENSION:
        return model.info.dimension
    if (question.kind in _SENTIMENT_KINDS, question.kind in _ENTITY_KINDS) != (
        model.info.task is Task.SENTIMENT,
        model.info.task.uses_spacy,
    ):
        raise ModelUnusable(
            f"the lock expects {question}, which no model of the task {model.info.task} answers",
            "correct the answers in the lock, or the task in the catalog",
        )
    if question.kind is QuestionKind.LABEL:
        return str(_run_model(model, question.text).sentiment)
    if question.kind is QuestionKind.PROBABILITIES:
        probabilities = _run_model(model, question.text).probabilities
        return {str(name): round(float(share), _DECIMALS) for name, share in sorted(probabilities.items())}
    if question.kind is QuestionKind.ENTITIES:
        return [[entity.start, entity.end, entity.label] for entity in _run_model(model, question.text)]
    if question.kind is QuestionKind.TOKENS:
        return _answer_with_tokens(model, question)
    return _answer_with_vectors(model, question)


def _answer_with_tokens(model: TextModel[Any, Any, Any], question: Question) -> object:
    from qda_worker.models.syntax import SyntaxOptions
    from qda_worker.models.token_columns import Column

    answer = _run_model(model, question.text, SyntaxOptions())
    columns = (Column.LEMMA, Column.POS, Column.TAG, Column.MORPH, Column.LABEL)
    return [
        [
            question.text[start : start + length],
            *(answer.strings[number] for number in strings[:-1]),
            str(position + head),
            answer.strings[strings[-1]],
        ]
        for position, (start, length, head, *strings) in enumerate(
            answer.table[[Column.START, Column.LENGTH, Column.HEAD, *columns]].T.tolist()
        )
    ]


def _answer_with_vectors(model: TextModel[Any, Any, Any], question: Question) -> object:
    import numpy as np  # entity models need no numpy

    from qda_worker.models.pair_search import normalize_rows

    kind = {QuestionKind.SPARSE: VectorKind.SPARSE, QuestionKind.MAX_SIMILARITY: VectorKind.MULTI_VECTOR}.get(
        question.kind
    )
    if kind is not None and kind not in model.info.vector_kinds:
        raise ModelUnusable(
            f"the lock expects {question}, but the model's files contain no head for it",
            "list sparse_linear.pt and colbert_linear.pt under `files` in the catalog, or correct the lock",
        )
    texts = [text for text in (question.text, question.other) if text]
    vectors = [_compute_vectors(model, text, kind or VectorKind.DENSE) for text in texts]
    if question.kind is QuestionKind.VECTOR:
        return [round(float(number), _DECIMALS) for number in vectors[0].dense[:VECTOR_PREFIX_LENGTH]]
    if question.kind is QuestionKind.SPARSE:
        weights = vectors[0].sparse
        return _weights_by_token(zip(weights.tokens, weights.weights, strict=True))
    if question.kind is QuestionKind.SIMILARITY:
        both = normalize_rows(np.stack([one.dense for one in vectors]))
        return round(float(both[0] @ both[1]), _DECIMALS)
    # MaxSim of ColBERT: for each token of the first text the greatest product with a token of the second; their mean.
    products = vectors[0].multi @ vectors[1].multi.T
    return round(float(products.max(axis=1).mean()), _DECIMALS)


def _weights_by_token(weights: Iterable[tuple[str, float]]) -> dict[str, float]:
    """Return the greatest weight of each token, by the token without SentencePiece's mark of a word's beginning.

    The weights come in descending order, so the first one of a token is its greatest.
    """
    weight_by_token: dict[str, float] = {}
    for token, weight in weights:
        weight_by_token.setdefault(token.lstrip("▁"), round(float(weight), _DECIMALS))
    return weight_by_token


def _compute_vectors(model: TextModel[Any, Any, Any], text: str, kind: VectorKind) -> Any:
    from qda_worker.models.vectors import VectorOptions

    return _run_model(model, text, VectorOptions(kinds=frozenset({kind})))


def _run_model(model: TextModel[Any, Any, Any], text: str, options: Options | None = None) -> Any:
    prepared = model.prepare(text, options or Options())
    return model.finish(text, prepared, model.compute(prepared.units)).answer


if __name__ == "__main__":
    document_out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.environ.update(OFFLINE)
    sys.exit(main(sys.argv[1:], sys.stdin, document_out))
