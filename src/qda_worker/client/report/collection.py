"""Ask a worker for everything that a report shows: sentiment, entities and vectors in one stream, then the links.

A worker that lacks a model gives a report without that part.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from model_cache.errors import UsageError
from qda_worker.client.analysis_tasks import AnalysisTask, EmbeddingTask, EntityTask, SentimentTask
from qda_worker.client.enums import LabelScheme, LongTexts, Task
from qda_worker.client.readers.segment import Segment
from qda_worker.client.report.statements import Link, Report, Statement, UsedModel
from qda_worker.client.results import AnalysisProvenance, DocumentAnalysis
from qda_worker.client.status import Models
from qda_worker.client.sync_client import Client
from qda_worker.client.texts import Text

# Links of one statement.
_LINKS: Final = 3

# Statements of one report. A page with more is slow in a browser.
MAX_STATEMENTS: Final = 20_000


def collect_report(
    client: Client,
    segments: Sequence[Segment],
    *,
    title: str,
    threshold: float,
    created: datetime,
    on_progress: Callable[[int], None],
) -> Report:
    """Return the report of segments.

    Args:
        client: connected to a worker.
        segments: the statements, at least one.
        title: the heading of the page.
        threshold: the lowest score of a link, a cosine.
        created: the time on the page.
        on_progress: called with the number of statements that were analyzed.

    Raises:
        UsageError: when there are too many statements, or the worker serves no model for texts.
        ClientError: when a call fails.
    """
    if len(segments) > MAX_STATEMENTS:
        raise UsageError(
            f"the input has {len(segments):,} statements; a report shows {MAX_STATEMENTS:,} at most",
            "give a part of it, as one interview, or larger segments",
        )
    served = client.models()
    tasks = _tasks(served)
    if not tasks:
        raise UsageError(
            "the worker serves no model that analyzes texts", "start it with a catalog that has some"
        )
    statements: list[Statement] = []
    provenance = AnalysisProvenance(None, None, ())
    documents = client.analyze(_texts(segments), tasks, long_texts=LongTexts.WINDOW)
    for segment, result in zip(segments, documents, strict=False):
        provenance = result.provenance
        statements.append(_statement(segment, result))
        on_progress(len(statements))
    models = _used_models(provenance, served)
    if any(each.task is Task.PARAPHRASE for each in served.models):
        found = client.find_paraphrases(
            list(_texts(segments)), threshold=threshold, best=_LINKS, long_texts=LongTexts.WINDOW
        )
        for pair in found.pairs:
            statements[pair.first].links.append(Link(pair.second, pair.score))
        models.append(UsedModel("paraphrases", found.provenance, _licence(found.provenance.model, served)))
    return Report(title, statements, models, threshold, created)


def _tasks(served: Models) -> list[AnalysisTask]:
    """Return the tasks that the worker has default models for."""
    defaults = {each.task: each.key for each in served.models if each.is_default}
    tasks: list[AnalysisTask] = []
    if Task.SENTIMENT in defaults:
        tasks.append(SentimentTask())
    if Task.ENTITIES in defaults:
        tasks.append(EntityTask(label_scheme=LabelScheme.COMMON))
    for task in (Task.PARAPHRASE, Task.EMBEDDING):  # the former compares single statements better
        if task in defaults:
            tasks.append(EmbeddingTask(defaults[task]))
            break
    return tasks


def _texts(segments: Iterable[Segment]) -> Iterator[Text]:
    """Yield the text of each segment."""
    for segment in segments:
        yield segment.to_text()


def _statement(segment: Segment, result: DocumentAnalysis) -> Statement:
    statement = Statement(segment)
    parts = [result, result.sentiment, result.entities, *result.embeddings]
    errors = [part.error for part in parts if part is not None and part.error is not None]
    statement.error = str(errors[0]) if errors else ""
    sentiment = result.sentiment
    if sentiment is not None and sentiment.label is not None and sentiment.probabilities is not None:
        statement.sentiment = sentiment.label
        statement.probability = getattr(sentiment.probabilities, sentiment.label.value)
        statement.positive = sentiment.probabilities.positive
        statement.negative = sentiment.probabilities.negative
    if result.entities is not None:
        statement.entities = result.entities.entities
    if result.embeddings:
        statement.vector = result.embeddings[0].dense
    return statement


def _used_models(provenance: AnalysisProvenance, served: Models) -> list[UsedModel]:
    found = [("sentiment", provenance.sentiment), ("entities", provenance.entities)]
    found += [("embedding", each) for each in provenance.embeddings]
    return [UsedModel(task, each, _licence(each.model, served)) for task, each in found if each is not None]


def _licence(key: str, served: Models) -> str:
    return next((each.licence for each in served.models if each.key == key), "")
