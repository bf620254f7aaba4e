"""The commands of `qda-client`.

Each command reads its texts, calls the sync client, writes the result in the chosen format, and returns the exit code.
`analyze` and `embed --stream --format jsonl` work on streams and write each result as it arrives, in constant memory;
the other commands read the whole input first. If a long list fails after some requests, the results before the failure
are written, then the error.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from model_cache.cli.options import duration
from model_cache.errors import UsageError
from model_cache.formatting import printable_lines
from model_cache.json_values import to_json_line, to_json_text
from model_cache.reasons import Reason
from qda_worker.client.channel import Settings, Tls
from qda_worker.client.cli import render
from qda_worker.client.cli.input import read_texts
from qda_worker.client.cli.options import DEFAULT_THRESHOLD, PROGRAM, Connection, Format, Input
from qda_worker.client.cli.terminal import Terminal
from qda_worker.client.enums import EmbeddingKind, Health, LabelScheme, LongTexts, Numbers, Offsets
from qda_worker.client.errors import ClientError, NotReady
from qda_worker.client.results import (
    AnalysisTask,
    Answer,
    Embedding,
    EmbeddingTask,
    Entities,
    EntityTask,
    Paraphrases,
    Sentiment,
    SentimentTask,
)
from qda_worker.client.sync_client import Client
from qda_worker.client.texts import Text

# Exit code if some texts have an error and the others have results.
SOME_FAILED: Final = 1

R = TypeVar("R", Sentiment, Entities, Embedding)


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[R]):
    """The answer to a list of texts; if the call failed, the results before the failure."""

    answer: Answer[R]
    failure: ClientError | None = None


def run_command(arguments: argparse.Namespace, connection: Connection, terminal: Terminal) -> int:
    """Run the command of the arguments and return its exit code.

    Raises:
        UsageError: when an argument or the input is wrong.
        ClientError: when the call fails.
    """
    with terminal.log_messages(quiet=arguments.quiet), Client(_settings(connection)) as client:
        return _COMMANDS[arguments.command](client, arguments, connection.format, terminal)


def _settings(connection: Connection) -> Settings:
    tls = Tls(connection.tls_ca, connection.tls_certificate, connection.tls_key, connection.tls_server_name)
    return Settings(
        target=connection.target,
        tls=tls if connection.tls else None,
        caller=connection.caller,
        timeout=connection.timeout,
    )


# --- one function for each command ------------------------------------------------------------------------------------


def _sentiment(client: Client, arguments: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    texts = _read_list(arguments, terminal)
    outcome = _call(
        lambda: client.sentiment(
            texts,
            model=arguments.model,
            long_texts=LongTexts(arguments.long_texts),
            sentences=arguments.sentences,
            offsets=Offsets(arguments.encoding),
            progress=terminal.show_progress,
        )
    )
    return _write_answer(outcome, texts, form, terminal, render.SENTIMENT_COLUMNS, render.sentiment_rows)


def _entities(client: Client, arguments: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    texts = _read_list(arguments, terminal)
    outcome = _call(
        lambda: client.entities(
            texts,
            model=arguments.model,
            long_texts=LongTexts(arguments.long_texts),
            offsets=Offsets(arguments.encoding),
            label_scheme=LabelScheme.COMMON if arguments.common_labels else LabelScheme.MODEL,
            labels=arguments.label,
            progress=terminal.show_progress,
        )
    )
    return _write_answer(outcome, texts, form, terminal, render.ENTITY_COLUMNS, render.entity_rows)


def _embed(client: Client, arguments: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    kinds = [EmbeddingKind(kind) for kind in arguments.kind or (EmbeddingKind.DENSE,)]
    stream = arguments.stream or EmbeddingKind.MULTI_VECTOR in kinds
    if stream and form is Format.JSONL:
        return _embed_stream(client, arguments, kinds, terminal)
    texts = _read_list(arguments, terminal)
    outcome = _call(
        lambda: client.embed(
            texts,
            model=arguments.model,
            long_texts=LongTexts(arguments.long_texts),
            kinds=kinds,
            normalize=arguments.normalize,
            dimensions=arguments.dimensions,
            numbers=Numbers(arguments.numbers),
            stream=stream,
            progress=terminal.show_progress,
        )
    )
    return _write_answer(outcome, texts, form, terminal, render.EMBEDDING_COLUMNS, render.embedding_rows)


def _embed_stream(
    client: Client, arguments: argparse.Namespace, kinds: Sequence[EmbeddingKind], terminal: Terminal
) -> int:
    results = client.embed_stream(
        _read(arguments.file, arguments, terminal),
        model=arguments.model,
        long_texts=LongTexts(arguments.long_texts),
        kinds=kinds,
        normalize=arguments.normalize,
        dimensions=arguments.dimensions,
        numbers=Numbers(arguments.numbers),
    )
    failed = False
    for result in results:
        failed |= not result.ok
        terminal.write(to_json_line(result))
    return SOME_FAILED if failed else 0


def _paraphrases(client: Client, arguments: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    texts = _read_list(arguments, terminal)
    others = _read_list(arguments, terminal, arguments.others) if arguments.others else None
    threshold = arguments.threshold
    if threshold is None and arguments.best is None:
        threshold = DEFAULT_THRESHOLD
    result = client.find_paraphrases(
        texts,
        others,
        threshold=threshold,
        best=arguments.best,
        model=arguments.model,
        long_texts=LongTexts(arguments.long_texts),
    )
    _write_paraphrases(result, texts, texts if others is None else others, form, terminal)
    return SOME_FAILED if result.problems else 0


def _analyze(client: Client, arguments: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    results = client.analyze(
        _read(arguments.file, arguments, terminal),
        [_parse_task(text) for text in arguments.task or ("sentiment", "entities")],
        offsets=Offsets(arguments.encoding),
        long_texts=LongTexts(arguments.long_texts),
    )
    failed = False
    before = "["  # JSON is one list that is written piece by piece
    for done, result in enumerate(results, 1):
        failed |= not result.ok
        terminal.show_count(done)
        if form is Format.TABLE:
            terminal.write("  ".join(cell.ljust(10) for cell in render.analysis_row(result)).rstrip())
        elif form is Format.JSONL:
            terminal.write(to_json_line(result))
        else:
            terminal.write(before + to_json_line(result))
            before = ","
    if form is Format.JSON:
        terminal.write("]" if before == "," else "[]")
    terminal.show_count(0, ended=True)
    return SOME_FAILED if failed else 0


def _models(client: Client, _: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    models = client.models()
    if form is Format.JSONL:
        for model in models.models:
            terminal.write(to_json_line(model))
    else:
        terminal.write(render.models_table(models) if form is Format.TABLE else to_json_text(models))
    return 0


def _cache(client: Client, _: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    """Return the exit code that cache-check would have."""
    status = client.cache_status()
    if form is Format.JSONL:
        terminal.write(to_json_line(status))
    else:
        terminal.write(render.cache_table(status) if form is Format.TABLE else to_json_text(status))
    return Reason(status.reason).exit_code if status.reason in set(Reason) else NotReady.exit_code


def _health(client: Client, arguments: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    if arguments.wait is not None:
        client.wait_ready(_parse_wait(arguments.wait), service=arguments.service)
    health = client.health(arguments.service)
    document = {"service": arguments.service, "health": health}
    terminal.write(str(health) if form is Format.TABLE else to_json_line(document))
    return 0 if health is Health.SERVING else NotReady.exit_code


_COMMANDS: Final[dict[str, Callable[[Client, argparse.Namespace, Format, Terminal], int]]] = {
    "sentiment": _sentiment,
    "entities": _entities,
    "embed": _embed,
    "paraphrases": _paraphrases,
    "analyze": _analyze,
    "models": _models,
    "cache": _cache,
    "health": _health,
}


# --- input ------------------------------------------------------------------------------------------------------------


def _read(file: str, arguments: argparse.Namespace, terminal: Terminal) -> Iterator[Text]:
    return read_texts(file, terminal.stdin, kind=Input(arguments.input), whole=arguments.whole)


def _read_list(arguments: argparse.Namespace, terminal: Terminal, file: str | None = None) -> list[Text]:
    """Return all texts of `file`, or of the command's first file; at least one."""
    texts = list(_read(file or arguments.file, arguments, terminal))
    if not texts:
        raise UsageError(
            f"there is no text in {file or arguments.file}", "give a file with at least one line"
        )
    return texts


def _parse_task(text: str) -> AnalysisTask:
    """Return the task of `TASK` or `TASK=KEY`."""
    name, _, model = text.partition("=")
    tasks: dict[str, AnalysisTask] = {
        "sentiment": SentimentTask(model),
        "entities": EntityTask(model),
        "embedding": EmbeddingTask(model),
    }
    if name not in tasks:
        raise UsageError(f'unknown task "{name}"', f"give one of: {', '.join(tasks)}")
    return tasks[name]


def _parse_wait(text: str) -> float:
    """Return the seconds of `--wait`."""
    try:
        return duration(text)
    except ValueError as error:
        raise UsageError(f'--wait: found "{text}"', f"give {error}") from error


# --- calls and output -------------------------------------------------------------------------------------------------


def _call(call: Callable[[], Answer[R]]) -> _Outcome[R]:
    """Call the client; raise its error only if there is no result at all."""
    try:
        return _Outcome(call())
    except ClientError as error:
        if error.partial is None:
            raise
        return _Outcome(error.partial, error)


def _write_answer(
    outcome: _Outcome[R],
    texts: Sequence[Text],
    form: Format,
    terminal: Terminal,
    columns: render.Row,
    rows: Callable[[R, Text], Iterator[render.Row]],
) -> int:
    """Write the results and return the exit code.

    Raises:
        ClientError: the failure of the call, after its partial results. In JSON it is part of the one document instead.
    """
    answer, failure = outcome.answer, outcome.failure
    failed_count = sum(not result.ok for result in answer)
    if form is Format.JSON:
        document = {"results": answer.results, "provenances": answer.provenances, "timings": answer.timings}
        if failure is not None:
            document["error"] = failure.fields()
        terminal.write(to_json_text(document))
        if failure is not None:
            terminal.stderr.write(f"{PROGRAM}: {printable_lines(str(failure))}\n")
            return failure.exit_code
    elif form is Format.JSONL:
        for result in answer:
            terminal.write(to_json_line(result))
    else:
        table = [row for result, text in zip(answer, texts, strict=False) for row in rows(result, text)]
        terminal.write(render.format_table(columns, table))
        of_total = f" of {len(texts):,}" if failure else ""
        errors = f", {failed_count:,} with an error" if failed_count else ""
        terminal.write(
            f"\n{len(answer):,}{of_total} texts{errors}. {render.provenance_line(answer.provenances)}"
        )
    if failure is not None:
        raise failure
    return SOME_FAILED if failed_count else 0


def _write_paraphrases(
    result: Paraphrases, texts: Sequence[Text], others: Sequence[Text], form: Format, terminal: Terminal
) -> None:
    if form is Format.TABLE:
        rows = list(render.paraphrase_rows(result, texts, others))
        terminal.write(render.format_table(render.PARAPHRASE_COLUMNS, rows))
        terminal.write(f"\n{len(result.pairs):,} pairs. {render.provenance_line([result.provenance])}")
        return
    pairs = [
        {
            "score": pair.score,
            "first": _text_fields(texts, pair.first),
            "second": _text_fields(others, pair.second),
        }
        for pair in result.pairs
    ]
    if form is Format.JSONL:
        for line in [*pairs, *result.problems]:
            terminal.write(to_json_line(line))
    else:
        document = {
            "pairs": pairs,
            "problems": result.problems,
            "provenance": result.provenance,
            "timings": result.timings,
        }
        terminal.write(to_json_text(document))


def _text_fields(texts: Sequence[Text], index: int) -> dict[str, object]:
    return {"index": index, "id": texts[index].id, "text": texts[index].content}
