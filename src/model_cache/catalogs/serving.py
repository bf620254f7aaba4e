"""Reads how a model is served, and refuses what would have no effect on it."""

from model_cache.catalogs.catalog import Cleaning, Precision, Serving, Task
from model_cache.catalogs.fields import Section
from model_cache.catalogs.nodes import Scalar
from model_cache.programs.suggestion import nearest

LABELS = ("positive", "negative", "neutral")
_SERVING_FIELDS = ("cleaning", "labels", "max_tokens", "shortened_dimensions", "precision", "default")


def read_serving(section: Section, task: Task | None) -> Serving:
    """Return the ``serving`` of a model's section; ``task`` None: not known, so nothing is compared with it."""
    below = section.section("serving", f"a mapping of {', '.join(_SERVING_FIELDS)}")
    if below is None:
        return Serving()
    below.allow(_SERVING_FIELDS)
    serving = Serving(
        cleaning=below.word("cleaning", Cleaning, Cleaning.NONE),
        labels=_labels(below),
        max_tokens=below.positive("max_tokens"),
        precision=below.word("precision", Precision, Precision.FP32),
        default=below.flag("default"),
        shortened_dimensions=below.positives("shortened_dimensions"),
    )
    if task not in (Task.SENTIMENT, None):
        if below.has("labels"):
            below.wrong("labels", f"labels for the task {task}", "labels for sentiment only")
        if serving.cleaning is not Cleaning.NONE:
            below.wrong("cleaning", f"a cleaning for the task {task}", "none, or a cleaning for sentiment")
    if serving.shortened_dimensions and task not in (Task.EMBEDDING, Task.PARAPHRASE, None):
        below.wrong("shortened_dimensions", f"shortened vectors for the task {task}", "them for vectors only")
    if task is Task.ENTITIES and serving.precision is not Precision.FP32:
        below.wrong("precision", f"{serving.precision} for a spaCy package", "fp32")
    return serving


def _labels(serving: Section) -> dict[str, str]:
    allowed = "a mapping of the model's own labels to positive, negative or neutral"
    section = serving.section("labels", allowed)
    labels: dict[str, str] = {}
    if section is None:
        return labels
    for own, (_, node) in section.fields.fields.items():
        if isinstance(node, Scalar) and node.kind == "text" and node.text in LABELS:
            labels[own] = node.text
        else:
            guess = nearest(node.text, LABELS) if isinstance(node, Scalar) else ""
            section.wrong(own, node, " | ".join(LABELS), guess)
    return labels
