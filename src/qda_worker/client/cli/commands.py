"""The commands of `qda-client`: each asks the worker, writes the result, and gives the exit code.

What `qda-client` says on stderr while it waits for its worker: the client's own log lines, as this program's.
"""

import argparse
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final, Generic, TextIO, TypeVar

from model_cache.cli.options import duration
from model_cache.errors import UsageError
from model_cache.json_values import to_json_line, to_json_text
from model_cache.reasons import Reason
from qda_worker.client.channel import Settings, Tls
from qda_worker.client.cli import render
from qda_worker.client.cli.input import read_texts
from qda_worker.client.cli.options import DEFAULT_THRESHOLD, PROGRAM, Connection, Format, Input
from qda_worker.client.enums import EmbeddingKind, Health, LabelScheme, LongTexts, Numbers, Offsets
from qda_worker.client.errors import ClientError, NotReady
from qda_worker.client.results import (
    AnalysisTask,
    Answer,
    Embedding,
    EmbeddingTask,
    Entities,
    EntityTask,
    Sentiment,
    SentimentTask,
)
from qda_worker.client.retry import LOG
from qda_worker.client.sync_client import Client
from qda_worker.client.texts import Text


class _Notes(logging.Handler):
    """Writes each line to `stderr`, over a progress that may stand there."""

    def __init__(self, stderr: TextIO) -> None:
        super().__init__()
        self._stderr = stderr

    def emit(self, record: logging.LogRecord) -> None:
        clear = "\r\x1b[K" if self._stderr.isatty() else ""
        self._stderr.write(f"{clear}{PROGRAM}: {record.getMessage()}\n")
        self._stderr.flush()


@contextmanager
def waiting_told(stderr: TextIO, quiet: bool) -> Iterator[None]:
    """Tells of waiting as long as the context lasts, or keeps it silent."""
    notes = logging.NullHandler() if quiet else _Notes(stderr)
    level = LOG.level
    LOG.setLevel(logging.INFO)
    LOG.addHandler(notes)
    try:
        yield
    finally:
        LOG.removeHandler(notes)
        LOG.setLevel(level)


# Exit code where some texts have an error and the others are answered.
SOME_FAILED: Final = 1

R = TypeVar("R", Sentiment, Entities, Embedding)

# Results of a stream between two states of its progress.
_SHOWN_EACH: Final = 100


@dataclass(frozen=True, slots=True)
class Terminal:
    """The program's three streams; `progress` says whether stderr may be drawn on."""

    stdin: BinaryIO
    stdout: TextIO
    stderr: TextIO
    progress: bool

    def write(self, text: str) -> None:
        """One result, or several, to stdout."""
        self.stdout.write(text + "\n")

    def show_progress(self, done: int, total: int) -> None:
        """Draws over the last state, and away at the end."""
        if self.progress:
            self.stderr.write("\r\x1b[K" if done == total else f"\r{done:,} of {total:,} texts")
            self.stderr.flush()

    def show_count(self, done: int, *, ended: bool = False) -> None:
        """The same for a stream, whose length nobody knows; not where its results are on the screen themselves."""
        if self.progress and not self.stdout.isatty() and (ended or done % _SHOWN_EACH == 0):
            self.stderr.write("\r\x1b[K" if ended else f"\r{done:,} texts")
            self.stderr.flush()


def run_command(arguments: argparse.Namespace, connection: Connection, terminal: Terminal) -> int:
    """Runs the command that was asked for. Raises UsageError and ClientError."""
    with waiting_told(terminal.stderr, arguments.quiet), Client(_settings(connection)) as client:
        return _COMMANDS[arguments.command](client, arguments, connection.format, terminal)


def _settings(connection: Connection) -> Settings:
    tls = Tls(connection.tls_ca, connection.tls_certificate, connection.tls_key, connection.tls_server_name)
    return Settings(
        target=connection.target,
        tls=tls if connection.tls else None,
        caller=connection.caller,
        timeout=connection.timeout,
    )


def _sentiment(client: Client, arguments: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    texts = _texts(arguments, terminal)
    answer = _asked(
        lambda: client.sentiment(
            texts,
            model=arguments.model,
            long_texts=LongTexts(arguments.long_texts),
            sentences=arguments.sentences,
            offsets=Offsets(arguments.encoding),
            progress=terminal.show_progress,
        )
    )
    return _write(answer, texts, form, terminal, render.SENTIMENT_HEAD, render.sentiment_rows)


def _entities(client: Client, arguments: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    texts = _texts(arguments, terminal)
    answer = _asked(
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
    return _write(answer, texts, form, terminal, render.ENTITY_HEAD, render.entity_rows)


def _embed(client: Client, arguments: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    kinds = [EmbeddingKind(kind) for kind in arguments.kind or (EmbeddingKind.DENSE,)]
    stream = arguments.stream or EmbeddingKind.MULTI_VECTOR in kinds
    if stream and form is Format.JSONL:
        return _embed_as_it_arrives(client, arguments, kinds, terminal)
    texts = _texts(arguments, terminal)
    answer = _asked(
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
    return _write(answer, texts, form, terminal, render.EMBEDDING_HEAD, render.embedding_rows)


def _embed_as_it_arrives(
    client: Client, arguments: argparse.Namespace, kinds: Sequence[EmbeddingKind], terminal: Terminal
) -> int:
    """One line after the other, so that memory stays constant."""
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
    texts = _texts(arguments, terminal)
    others = _texts(arguments, terminal, arguments.others) if arguments.others else None
    threshold = arguments.threshold
    if threshold is None and arguments.best is None:
        threshold = DEFAULT_THRESHOLD
    found = client.find_paraphrases(
        texts,
        others,
        threshold=threshold,
        best=arguments.best,
        model=arguments.model,
        long_texts=LongTexts(arguments.long_texts),
    )
    partners = texts if others is None else others
    if form is Format.TABLE:
        rows = list(render.paraphrase_rows(found, texts, partners))
        terminal.write(render.aligned(render.PARAPHRASE_HEAD, rows))
        terminal.write(f"\n{len(found.pairs):,} pairs. {render.made_by([found.provenance])}")
        return SOME_FAILED if found.problems else 0
    pairs = [
        {"score": pair.score, "first": _named(texts, pair.first), "second": _named(partners, pair.second)}
        for pair in found.pairs
    ]
    if form is Format.JSONL:
        for line in [*pairs, *found.problems]:
            terminal.write(to_json_line(line))
    else:
        whole = {
            "pairs": pairs,
            "problems": found.problems,
            "provenance": found.provenance,
            "timings": found.timings,
        }
        terminal.write(to_json_text(whole))
    return SOME_FAILED if found.problems else 0


def _analyze(client: Client, arguments: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    """Writes each result as it arrives; JSON is one list, so that memory stays constant."""
    results = client.analyze(
        _read(arguments.file, arguments, terminal),
        [_task(name) for name in arguments.task or ("sentiment", "entities")],
        offsets=Offsets(arguments.encoding),
        long_texts=LongTexts(arguments.long_texts),
    )
    failed = False
    before = "["
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
    found = client.models()
    if form is Format.JSONL:
        for model in found.models:
            terminal.write(to_json_line(model))
    else:
        terminal.write(render.models_table(found) if form is Format.TABLE else to_json_text(found))
    return 0


def _cache(client: Client, _: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    """Ends with the code that cache-check would end with."""
    status = client.cache_status()
    if form is Format.JSONL:
        terminal.write(to_json_line(status))
    else:
        terminal.write(render.cache_table(status) if form is Format.TABLE else to_json_text(status))
    return Reason(status.reason).exit_code if status.reason in set(Reason) else NotReady.exit_code


def _health(client: Client, arguments: argparse.Namespace, form: Format, terminal: Terminal) -> int:
    if arguments.wait is not None:
        client.wait_ready(_duration(arguments.wait), service=arguments.service)
    found = client.health(arguments.service)
    document = {"service": arguments.service, "health": found}
    terminal.write(str(found) if form is Format.TABLE else to_json_line(document))
    return 0 if found is Health.SERVING else NotReady.exit_code


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


@dataclass(frozen=True, slots=True)
class _Outcome(Generic[R]):
    """An answer; of a list that failed in the midst the results before that, with the failure."""

    answer: Answer[R]
    failure: ClientError | None = None


def _asked(ask: Callable[[], Answer[R]]) -> _Outcome[R]:
    """What is asked for, as far as it came. Raises ClientError where nothing came."""
    try:
        return _Outcome(ask())
    except ClientError as error:
        if error.partial is None:
            raise
        return _Outcome(error.partial, error)


def _write(
    outcome: _Outcome[R],
    texts: Sequence[Text],
    form: Format,
    terminal: Terminal,
    head: render.Row,
    rows: Callable[[R, Text], Iterator[render.Row]],
) -> int:
    """Writes what there is. Raises the failure that ended it early, unless the one JSON document holds it too."""
    answer, failure = outcome.answer, outcome.failure
    failed = sum(not result.ok for result in answer)
    if form is Format.JSON:
        told = {"results": answer.results, "provenances": answer.provenances, "timings": answer.timings}
        if failure is not None:
            told["error"] = failure.fields()
        terminal.write(to_json_text(told))
        if failure is not None:
            terminal.stderr.write(f"{PROGRAM}: {failure}\n")
            return failure.exit_code
    elif form is Format.JSONL:
        for result in answer:
            terminal.write(to_json_line(result))
    else:
        table = [row for result, text in zip(answer, texts, strict=False) for row in rows(result, text)]
        terminal.write(render.aligned(head, table))
        of_all = f" of {len(texts):,}" if failure else ""
        counted = f"{len(answer):,}{of_all} texts" + (f", {failed:,} with an error" if failed else "")
        terminal.write(f"\n{counted}. {render.made_by(answer.provenances)}")
    if failure is not None:
        raise failure
    return SOME_FAILED if failed else 0


def _read(file: str, arguments: argparse.Namespace, terminal: Terminal) -> Iterator[Text]:
    return read_texts(file, terminal.stdin, kind=Input(arguments.input), whole=arguments.whole)


def _texts(arguments: argparse.Namespace, terminal: Terminal, file: str | None = None) -> list[Text]:
    texts = list(_read(file or arguments.file, arguments, terminal))
    if not texts:
        raise UsageError(
            f"there is no text in {file or arguments.file}", "give a file with at least one line"
        )
    return texts


def _task(asked: str) -> AnalysisTask:
    name, _, model = asked.partition("=")
    kinds: dict[str, AnalysisTask] = {
        "sentiment": SentimentTask(model),
        "entities": EntityTask(model),
        "embedding": EmbeddingTask(model),
    }
    if name not in kinds:
        raise UsageError(f'unknown task "{name}"', f"give one of: {', '.join(kinds)}")
    return kinds[name]


def _duration(text: str) -> float:
    try:
        return duration(text)
    except ValueError as error:
        raise UsageError(f'--wait: found "{text}"', f"give {error}") from error


def _named(texts: Sequence[Text], index: int) -> dict[str, object]:
    return {"index": index, "id": texts[index].id, "text": texts[index].content}
