"""Sentiment by any BERT-like classifier: positive, negative and neutral with probabilities.

The text cleaning that `german-sentiment-bert` was trained with.

The model card demands that "all model inputs needs to be preprocessed with the same procedure, that was applied during
the training". The rules are those published with the package `germansentiment` 1.1.0, in its order, oddities included:
the URL rule eats every word that begins with "http", and characters outside the German alphabet are deleted, not
replaced by a space, so that words around a tab or a no-break space join.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from model_cache.catalog.catalog import Cleaning, Model
from qda_worker.errors import ModelUnusable
from qda_worker.models.base import (
    BatchBudget,
    Finished,
    InProcess,
    LongText,
    ModelInfo,
    Options,
    Prepared,
    Span,
    Unit,
    Usage,
    describe,
    require_characters,
    usage_in_tokens,
)
from qda_worker.models.sentence_units import PreparedWithSentences, SentenceOptions, with_sentences
from qda_worker.models.tokenization import Ids, Tokens, pad, position_limit, token_limit, weighted_mean

_URL: Final = re.compile(r"https*\S+")
_MENTION: Final = re.compile(r"@\S+")
_NOT_GERMAN_LETTER_OR_SPACE: Final = re.compile(r"[^A-Za-züöäÖÜÄß ]")
_DIGIT_WORDS: Final = str.maketrans(
    {
        "0": " null",
        "1": " eins",
        "2": " zwei",
        "3": " drei",
        "4": " vier",
        "5": " fünf",
        "6": " sechs",
        "7": " sieben",
        "8": " acht",
        "9": " neun",
    }
)


def clean_german_sentiment(text: str) -> str:
    """The text as the model saw its training texts: German letters in lower case, single spaces, digits as words.

    Any text is allowed; one of nothing but emoji or punctuation becomes the empty string.
    """
    text = text.replace("\n", " ")
    text = _URL.sub("", text)
    text = _MENTION.sub("", text)
    text = text.translate(_DIGIT_WORDS)
    text = _NOT_GERMAN_LETTER_OR_SPACE.sub("", text)
    return " ".join(text.split()).lower()


_CLEANING: Final[Mapping[Cleaning, Callable[[str], str]]] = {
    Cleaning.NONE: lambda text: text,
    Cleaning.GERMAN_SENTIMENT: clean_german_sentiment,
}


class Sentiment(StrEnum):
    """The three answers, whatever the model itself calls them."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NEUTRAL = "neutral"


_NAMES: Final[Mapping[str, Sentiment]] = {
    **{sentiment.value: sentiment for sentiment in Sentiment},
    "pos": Sentiment.POSITIVE,
    "neg": Sentiment.NEGATIVE,
    "neu": Sentiment.NEUTRAL,
}


@dataclass(frozen=True, slots=True)
class SentimentAnswer:
    """The likeliest sentiment, and the probability of each; they sum to 1. One that the model lacks has 0."""

    sentiment: Sentiment
    probabilities: Mapping[Sentiment, float]
    sentences: "tuple[SentenceAnswer, ...]" = ()


@dataclass(frozen=True, slots=True)
class SentenceAnswer:
    """The same for one sentence; `span` is its place in the text as sent, in code points, `usage` its own."""

    span: Span
    sentiment: Sentiment
    probabilities: Mapping[Sentiment, float]
    usage: Usage


class SentimentModel(InProcess):
    """A classifier of one text at a time; its probabilities are the softmax of its logits.

    Where a catalog maps several of the model's labels to one of ours (five stars, say), their probabilities add up.
    A text of several windows has the mean of their probabilities, weighted by each window's content tokens.
    """

    def __init__(
        self,
        info: ModelInfo,
        budget: BatchBudget,
        network: Any,
        tokens: Tokens,
        cleaning: Cleaning,
        sentiments: Sequence[Sentiment],
    ) -> None:
        self._info, self._budget = info, budget
        self._network, self._tokens = network, tokens
        self._clean = _CLEANING[cleaning]
        self._sentiments = tuple(sentiments)

    @property
    def info(self) -> ModelInfo:
        """What the model is."""
        return self._info

    @property
    def budget(self) -> BatchBudget:
        """How large a batch suits it on its device."""
        return self._budget

    def prepare(self, text: str, options: Options) -> Prepared[Ids]:
        """Cleans, tokenises and cuts, with its sentences under SentenceOptions.

        Counts are those of the cleaned text, which is what the model reads.
        """
        require_characters(text)
        whole = self._prepare(text, options.long_text)
        if not isinstance(options, SentenceOptions):
            return whole
        return with_sentences(text, whole, lambda sentence: self._prepare(sentence, options.long_text))

    def _prepare(self, text: str, policy: LongText) -> Prepared[Ids]:
        return self._tokens.prepare(self._clean(text), policy)

    def compute(self, units: Sequence[Unit[Ids]]) -> list[NDArray[np.float32]]:
        """The probabilities of the model's own labels, float32 [labels], in the order of its logits."""
        with torch.inference_mode():
            ids, mask = pad([unit.payload for unit in units], self._tokens.pad_id, self._network.device)
            logits = self._network(input_ids=ids, attention_mask=mask).logits
            return list(torch.softmax(logits, dim=-1).cpu().numpy())

    def finish(
        self, text: str, prepared: Prepared[Ids], outputs: Sequence[NDArray[np.float32]]
    ) -> Finished[SentimentAnswer]:
        """The answer for one text. Of equal probabilities the first of positive, negative, neutral wins."""
        sentiment, probabilities = self._joined(prepared, outputs[: len(prepared.windows)])
        sentences = prepared.sentences if isinstance(prepared, PreparedWithSentences) else ()
        answers = tuple(
            SentenceAnswer(
                sentence.span,
                *self._joined(sentence.prepared, sentence.outputs(outputs)),
                usage_in_tokens(sentence.prepared),
            )
            for sentence in sentences
        )
        return Finished(SentimentAnswer(sentiment, probabilities, answers), usage_in_tokens(prepared))

    def _joined(
        self, prepared: Prepared[Ids], outputs: Sequence[NDArray[np.float32]]
    ) -> tuple[Sentiment, Mapping[Sentiment, float]]:
        """What the windows of one text say together."""
        mean = weighted_mean(outputs, [window.length for window in prepared.windows])
        probabilities = dict.fromkeys(Sentiment, 0.0)
        for sentiment, probability in zip(self._sentiments, mean.tolist(), strict=True):
            probabilities[sentiment] += probability
        return max(Sentiment, key=probabilities.__getitem__), probabilities


def load_sentiment(model: Model, path: Path, device: str, budget: BatchBudget) -> SentimentModel:
    """Loads the classifier in the folder `path`, offline, in float32, without running any code of the folder's.

    Raises ModelUnusable for labels that are not ours; the libraries' own exceptions for everything else.
    """
    tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
    network, report = AutoModelForSequenceClassification.from_pretrained(
        path,
        local_files_only=True,
        trust_remote_code=False,
        weights_only=True,
        dtype=torch.float32,
        output_loading_info=True,
    )
    if report["missing_keys"]:
        raise ModelUnusable(
            f"its weights lack {len(report['missing_keys'])} tensors of a classifier, "
            f"such as {min(report['missing_keys'])}",
            "give the repository of a model that was trained for classification",
        )
    network.to(device).eval()
    sentiments = sentiments_of(network.config, model.serving.labels)
    limit = token_limit(tokenizer.model_max_length, position_limit(network), model.serving.max_tokens)
    info = describe(model, max_length=limit, labels=sorted(set(sentiments)))
    return SentimentModel(info, budget, network, Tokens(tokenizer, limit), model.serving.cleaning, sentiments)


def sentiments_of(config: Any, labels: Mapping[str, str]) -> list[Sentiment]:
    """Our name for each of the model's outputs, in their order.

    config: the network's, with `id2label` and `problem_type`. labels: the catalog's `serving.labels`.
    Raises ModelUnusable for a label that neither the catalog nor its own name explains.
    """
    if config.num_labels < 2 or config.problem_type not in (None, "single_label_classification"):
        raise ModelUnusable(
            f"it has {config.num_labels} outputs of type {config.problem_type or 'regression'}, "
            "which are not probabilities of labels that exclude each other",
            "use a model for single-label classification",
        )
    own = [str(config.id2label[index]) for index in range(config.num_labels)]
    if strangers := sorted(set(labels) - set(own)):
        raise ModelUnusable(
            f"serving.labels names {', '.join(strangers)}, and the model has {', '.join(own)}",
            "correct serving.labels in the catalog",
        )
    known = [_NAMES.get(labels.get(name, name).strip().lower()) for name in own]
    unknown = [name for name, sentiment in zip(own, known, strict=True) if sentiment is None]
    if unknown:
        raise ModelUnusable(
            f"its labels {', '.join(unknown)} are neither positive, negative nor neutral",
            f"map them by serving.labels in the catalog, such as {{{unknown[0]}: negative}}",
        )
    return [sentiment for sentiment in known if sentiment is not None]
