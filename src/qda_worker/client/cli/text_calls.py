"""How each command that analyzes texts calls the client: with a list, or with a stream of texts.

A request of a list holds a hundred texts, so a list costs client and worker less. A stream answers each text of a pipe
before the next one comes. Both give the same results, which `text_commands` writes.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar

from model_cache.errors import UsageError
from qda_worker.client.analysis_tasks import (
    AnalysisTask,
    EmbeddingTask,
    EntityTask,
    SentimentTask,
    SyntaxTask,
)
from qda_worker.client.cli import render
from qda_worker.client.cli.options import read_encodings
from qda_worker.client.enums import (
    EmbeddingKind,
    LabelScheme,
    LongTexts,
    Numbers,
    Priority,
    SyntaxLayer,
    Task,
)
from qda_worker.client.requests import OnResults, Progress
from qda_worker.client.results import (
    AnalysisProvenance,
    Answer,
    DocumentAnalysis,
    Embedding,
    Entities,
    Provenance,
    Sentiment,
    Syntax,
)
from qda_worker.client.sync_client import Client
from qda_worker.client.texts import Text

R = TypeVar("R", bound=Sentiment | Entities | Syntax | Embedding | DocumentAnalysis)

# What computed a result; None if it is not known.
Models: TypeAlias = Provenance | AnalysisProvenance | None

# `Answer[Any]`, because the list calls have no documents, which R allows.
ListCall: TypeAlias = Callable[[Sequence[Text], OnResults[Any], Progress], Answer[Any]]
StreamCall: TypeAlias = Callable[[Iterable[Text]], Iterator[tuple[R, Models]]]


@dataclass(frozen=True, slots=True)
class TextCall(Generic[R]):
    """The call of one command.

    Attributes:
        options: the command with those of its options that change results, for records.
        columns: names of the columns of the table on a terminal; None: its rows have no names.
        rows: returns the rows of that table.
        as_list: sends a list of texts; None if the command always streams.
        as_stream: sends any number of texts and yields the result of each.
        close: closes the client, which ends these calls; for another thread.
    """

    options: dict[str, object]
    columns: render.Row | None
    rows: Callable[[R, Text], Iterator[render.Row]]
    as_list: ListCall | None
    as_stream: StreamCall[R]
    close: Callable[[], None]


def text_call(
    client: Client, arguments: argparse.Namespace
) -> TextCall[Any]:  # Any: R depends on the command
    """Return the call of the command of the arguments.

    Raises:
        UsageError: when an argument is wrong.
    """
    return _CALLS[arguments.command](client, arguments)


def _sentiment(client: Client, arguments: argparse.Namespace) -> TextCall[Sentiment]:
    common = _common(arguments)
    offsets = read_encodings(arguments).offsets

    def as_list(
        texts: Sequence[Text], on_results: OnResults[Sentiment], progress: Progress
    ) -> Answer[Sentiment]:
        return client.sentiment(
            texts,
            model=arguments.model,
            sentences=arguments.sentences,
            offsets=offsets,
            progress=progress,
            on_results=on_results,
            **common,
        )

    def as_stream(texts: Iterable[Text]) -> Iterator[tuple[Sentiment, Models]]:
        task = SentimentTask(arguments.model, sentences=arguments.sentences)
        for each in client.analyze(texts, [task], offsets=offsets, **common):
            result = each.sentiment or Sentiment(each.id, each.error, None, None, None)
            yield result, each.provenance.sentiment

    options = _options(arguments, sentences=arguments.sentences, offsets=str(offsets))
    return TextCall(
        options, render.SENTIMENT_COLUMNS, render.sentiment_rows, as_list, as_stream, client.close
    )


def _entities(client: Client, arguments: argparse.Namespace) -> TextCall[Entities]:
    common = _common(arguments)
    offsets = read_encodings(arguments).offsets
    scheme = LabelScheme.COMMON if arguments.common_labels else LabelScheme.MODEL

    def as_list(
        texts: Sequence[Text], on_results: OnResults[Entities], progress: Progress
    ) -> Answer[Entities]:
        return client.entities(
            texts,
            model=arguments.model,
            offsets=offsets,
            label_scheme=scheme,
            labels=arguments.label,
            progress=progress,
            on_results=on_results,
            **common,
        )

    def as_stream(texts: Iterable[Text]) -> Iterator[tuple[Entities, Models]]:
        task = EntityTask(arguments.model, scheme, tuple(arguments.label))
        for each in client.analyze(texts, [task], offsets=offsets, **common):
            yield each.entities or Entities(each.id, each.error, (), None, None), each.provenance.entities

    options = _options(
        arguments, labels=arguments.label, common_labels=arguments.common_labels, offsets=str(offsets)
    )
    return TextCall(options, render.ENTITY_COLUMNS, render.entity_rows, as_list, as_stream, client.close)


def _syntax(client: Client, arguments: argparse.Namespace) -> TextCall[Syntax]:
    common = _common(arguments)
    offsets = read_encodings(arguments).offsets
    layers = [SyntaxLayer(layer) for layer in arguments.layer]

    def as_list(texts: Sequence[Text], on_results: OnResults[Syntax], progress: Progress) -> Answer[Syntax]:
        return client.syntax(
            texts,
            model=arguments.model,
            offsets=offsets,
            layers=layers,
            progress=progress,
            on_results=on_results,
            **common,
        )

    def as_stream(texts: Iterable[Text]) -> Iterator[tuple[Syntax, Models]]:
        task = SyntaxTask(arguments.model, tuple(layers))
        for each in client.analyze(texts, [task], offsets=offsets, **common):
            yield each.syntax or Syntax(each.id, each.error, (), (), None, None), each.provenance.syntax

    options = _options(arguments, layers=[str(layer) for layer in layers], offsets=str(offsets))
    return TextCall(options, render.SYNTAX_COLUMNS, render.syntax_rows, as_list, as_stream, client.close)


def _embed(client: Client, arguments: argparse.Namespace) -> TextCall[Embedding]:
    common = _common(arguments)
    kinds = [EmbeddingKind(kind) for kind in arguments.kind or (EmbeddingKind.DENSE,)]
    vectors: dict[str, Any] = {
        "kinds": kinds,
        "normalize": arguments.normalize,
        "dimensions": arguments.dimensions,
        "numbers": Numbers(arguments.numbers),
        "prompt_name": arguments.prompt,
    }
    whole_vectors = EmbeddingKind.MULTI_VECTOR not in kinds

    def as_list(
        texts: Sequence[Text], on_results: OnResults[Embedding], progress: Progress
    ) -> Answer[Embedding]:
        return client.embed(
            texts,
            model=arguments.model,
            stream=arguments.stream or not whole_vectors,
            progress=progress,
            on_results=on_results,
            **vectors,
            **common,
        )

    def as_stream(texts: Iterable[Text]) -> Iterator[tuple[Embedding, Models]]:
        if whole_vectors and not arguments.stream:  # tells the model with each result
            task = EmbeddingTask(arguments.model, **{**vectors, "kinds": tuple(kinds)})
            for each in client.analyze(texts, [task], **common):
                result = each.embeddings[0] if each.embeddings else Embedding(each.id, each.error, None)
                yield result, each.provenance.embeddings[0] if each.provenance.embeddings else None
        else:
            to_file = bool(arguments.output or arguments.resume)
            model = _served_model(client, arguments.model, arguments.prompt) if to_file else None
            for result in client.embed_stream(texts, model=arguments.model, **vectors, **common):
                yield result, model

    options = _options(
        arguments,
        kinds=[str(kind) for kind in kinds],
        normalize=arguments.normalize,
        dimensions=arguments.dimensions,
        numbers=str(arguments.numbers),
        prompt=arguments.prompt,
    )
    return TextCall(
        options, render.EMBEDDING_COLUMNS, render.embedding_rows, as_list, as_stream, client.close
    )


def _analyze(client: Client, arguments: argparse.Namespace) -> TextCall[DocumentAnalysis]:
    names = arguments.task or ("sentiment", "entities")
    tasks = [_parse_task(name) for name in names]
    offsets = read_encodings(arguments).offsets

    def as_stream(texts: Iterable[Text]) -> Iterator[tuple[DocumentAnalysis, Models]]:
        for each in client.analyze(texts, tasks, offsets=offsets, **_common(arguments)):
            yield each, each.provenance

    def rows(result: DocumentAnalysis, _: Text) -> Iterator[render.Row]:
        yield render.analysis_row(result)

    options = _options(arguments, tasks=list(names), offsets=str(offsets))
    return TextCall(options, None, rows, None, as_stream, client.close)


_CALLS: Final[dict[str, Callable[[Client, argparse.Namespace], TextCall[Any]]]] = {
    "sentiment": _sentiment,
    "entities": _entities,
    "syntax": _syntax,
    "embed": _embed,
    "analyze": _analyze,
}


def _served_model(client: Client, key: str, prompt_name: str) -> Provenance | None:
    """Return the embedding model that the worker serves now: vectors in parts do not tell it."""
    models = client.models()
    for each in models.models:
        if each.key == key or (not key and each.task is Task.EMBEDDING and each.is_default):
            return Provenance(
                model=each.key,
                source=each.source,
                revision=each.revision,
                precision=each.precision,
                worker_version=models.worker_version,
                model_digest=each.model_digest,
                generation=models.generation,
                engines=each.engines,
                prompt_name=prompt_name or each.default_prompt_name,
                prompt=each.prompts.get(prompt_name or each.default_prompt_name, ""),
            )
    return None


def _common(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of all calls."""
    priority = Priority(arguments.priority) if arguments.priority else None
    return {"long_texts": LongTexts(arguments.long_texts), "priority": priority}


def _options(arguments: argparse.Namespace, **options: object) -> dict[str, object]:
    """Return the options of records; those that have no effect are left out."""
    every = {
        "model": getattr(arguments, "model", ""),
        "long_texts": str(arguments.long_texts),
        **options,
    }
    return {
        "command": arguments.command,
        **{key: value for key, value in every.items() if value not in (None, "", False, [], 0)},
    }


def _parse_task(text: str) -> AnalysisTask:
    """Return the task of `TASK` or `TASK=KEY`."""
    name, _, model = text.partition("=")
    tasks: dict[str, AnalysisTask] = {
        "sentiment": SentimentTask(model),
        "entities": EntityTask(model),
        "syntax": SyntaxTask(model),
        "embedding": EmbeddingTask(model),
    }
    if name not in tasks:
        raise UsageError(f'unknown task "{name}"', f"give one of: {', '.join(tasks)}")
    return tasks[name]
