"""The commands of `qda-client`.

Each command reads its texts, calls the sync client, writes the result in the chosen format, and returns the exit code.
`analyze` and `embed --stream --format jsonl` work on streams, in constant memory; the others read all input first.
Results are written as they arrive (`writer`), and stay written if the call fails or the program is stopped.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from model_cache.cli.options import duration
from model_cache.errors import UsageError
from model_cache.json_values import to_json_line, to_json_text
from model_cache.reasons import Reason
from qda_worker.client.channel import Settings, Tls
from qda_worker.client.cli import render
from qda_worker.client.cli.command_errors import COMMAND_FAILURES, hold_signals
from qda_worker.client.cli.connection import Connection, Format
from qda_worker.client.cli.input import read_texts
from qda_worker.client.cli.options import DEFAULT_THRESHOLD, Input, read_encodings
from qda_worker.client.cli.terminal import Terminal
from qda_worker.client.cli.writer import SOME_FAILED, AnswerWriter, R, StreamWriter
from qda_worker.client.enums import EmbeddingKind, Health, LabelScheme, LongTexts, Numbers
from qda_worker.client.errors import NotReady
from qda_worker.client.requests import OnResults, Progress
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
    writer: AnswerWriter[Sentiment] = AnswerWriter(
        texts, form, terminal, render.SENTIMENT_COLUMNS, render.sentiment_rows
    )
    return _write_list(
        lambda on_results, progress: client.sentiment(
            texts,
            model=arguments.model,
            long_texts=LongTexts(arguments.long_texts),
            sentences=arguments.sentences,
            offsets=read_encodings(arguments).offsets,
            progress=progress,
            on_results=on_results,
        ),
        writer,
        form,
        terminal,
    )


def _entities(client: Client, arguments: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    texts = _read_list(arguments, terminal)
    writer: AnswerWriter[Entities] = AnswerWriter(
        texts, form, terminal, render.ENTITY_COLUMNS, render.entity_rows
    )
    return _write_list(
        lambda on_results, progress: client.entities(
            texts,
            model=arguments.model,
            long_texts=LongTexts(arguments.long_texts),
            offsets=read_encodings(arguments).offsets,
            label_scheme=LabelScheme.COMMON if arguments.common_labels else LabelScheme.MODEL,
            labels=arguments.label,
            progress=progress,
            on_results=on_results,
        ),
        writer,
        form,
        terminal,
    )


def _embed(client: Client, arguments: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    kinds = [EmbeddingKind(kind) for kind in arguments.kind or (EmbeddingKind.DENSE,)]
    stream = arguments.stream or EmbeddingKind.MULTI_VECTOR in kinds
    if stream and form is Format.JSONL:
        return _embed_stream(client, arguments, kinds, terminal)
    texts = _read_list(arguments, terminal)
    writer: AnswerWriter[Embedding] = AnswerWriter(
        texts, form, terminal, render.EMBEDDING_COLUMNS, render.embedding_rows
    )
    return _write_list(
        lambda on_results, progress: client.embed(
            texts,
            model=arguments.model,
            long_texts=LongTexts(arguments.long_texts),
            kinds=kinds,
            normalize=arguments.normalize,
            dimensions=arguments.dimensions,
            numbers=Numbers(arguments.numbers),
            stream=stream,
            progress=progress,
            on_results=on_results,
        ),
        writer,
        form,
        terminal,
    )


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
    writer = StreamWriter(Format.JSONL, terminal)
    try:
        for result in results:
            writer.add(result)
    except COMMAND_FAILURES as failure:
        return writer.fail(failure)
    return writer.end()


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
        offsets=read_encodings(arguments).offsets,
        long_texts=LongTexts(arguments.long_texts),
    )
    writer = StreamWriter(form, terminal)
    try:
        for done, result in enumerate(results, 1):
            terminal.show_count(done)
            writer.add(result, render.analysis_row(result) if form is Format.TABLE else ())
    except COMMAND_FAILURES as failure:
        return writer.fail(failure)
    terminal.show_count(0, ended=True)
    return writer.end()


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
    """Yield the texts of a file; at least one."""
    text = None
    for text in read_texts(
        file,
        terminal.stdin,
        kind=Input(arguments.input),
        whole=arguments.whole,
        encoding=read_encodings(arguments).file,
    ):
        yield text
    if text is None:
        raise UsageError(f"there is no text in {file}", "give a file with at least one line")


def _read_list(arguments: argparse.Namespace, terminal: Terminal, file: str | None = None) -> list[Text]:
    """Return all texts of `file`, or of the command's first file; at least one."""
    return list(_read(file or arguments.file, arguments, terminal))


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


def _write_list(
    call: Callable[["OnResults[R]", Progress], Answer[R]],
    writer: AnswerWriter[R],
    form: Format,
    terminal: Terminal,
) -> int:
    """Call the client, write the results as they arrive, and return the exit code."""

    def show_progress(done: int, total: int) -> None:
        if form is Format.JSON or not terminal.stdout.isatty():  # else the results show it themselves
            terminal.show_progress(done, total)

    try:
        return writer.end(call(writer.add, show_progress))
    except COMMAND_FAILURES as failure:
        return writer.fail(failure)


@hold_signals()
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
