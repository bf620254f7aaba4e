"""Sentiment by any BERT-like classifier: positive, negative and neutral with probabilities.

Cleaning: oliverguhr/german-sentiment-bert was trained on cleaned texts, and its model card requires the same for every
input. `clean_german_sentiment` implements the rules of the package `germansentiment` 1.1.0 (`sentimentmodel.py`), in
its order and with its side effects: the URL rule removes every word that begins with "http", and characters outside
the German alphabet are deleted without a replacement, so that words around a tab or a no-break space are joined. The
package itself does not run on transformers 5, which removed `batch_encode_plus`. Other models are used without
cleaning, as the catalog says (`serving.cleaning`).

Labels: models name their outputs differently. The catalog (`serving.labels`) or the usual names map them to the three
sentiments.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
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
    InstallEngine,
    LongText,
    ModelInfo,
    Options,
    PreparedText,
    TextResult,
    Unit,
    Usage,
    keep_torch,
    model_info,
    require_non_empty,
    run_steps,
    usage_in_tokens,
)
from qda_worker.models.batch_budget import BatchBudget
from qda_worker.models.device_failures import device_failures
from qda_worker.models.in_process import InProcessModel
from qda_worker.models.layer_pauses import add_pause_points
from qda_worker.models.sentence_units import PreparedTextWithSentences, SentenceOptions, add_sentences
from qda_worker.models.text_pieces import PIECE_LENGTH, split_pieces
from qda_worker.models.tokenization import (
    Ids,
    TextTokenizer,
    pad_batch,
    position_limit,
    token_limit,
    weighted_mean,
)
from qda_worker.sentences.span import Span

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


class Sentiment(StrEnum):
    """The three sentiments, independent of the labels of a model."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    NEUTRAL = "neutral"


# Label names, in lower case, that need no mapping in the catalog.
_KNOWN_LABELS: Final[Mapping[str, Sentiment]] = {
    **{sentiment.value: sentiment for sentiment in Sentiment},
    "pos": Sentiment.POSITIVE,
    "neg": Sentiment.NEGATIVE,
    "neu": Sentiment.NEUTRAL,
}


@dataclass(frozen=True, slots=True)
class SentimentAnswer:
    """The sentiment of one text.

    Attributes:
        sentiment: the most probable one.
        probabilities: probability of each sentiment; they sum to 1. A sentiment that the model lacks has 0.
        sentences: the sentiment of each sentence, if requested.
    """

    sentiment: Sentiment
    probabilities: Mapping[Sentiment, float]
    sentences: "tuple[SentenceAnswer, ...]" = ()


@dataclass(frozen=True, slots=True)
class SentenceAnswer:
    """The sentiment of one sentence.

    Attributes:
        span: the sentence in the text as sent, in code points.
        sentiment: the most probable one.
        probabilities: probability of each sentiment.
        usage: how much of the sentence the model read.
    """

    span: Span
    sentiment: Sentiment
    probabilities: Mapping[Sentiment, float]
    usage: Usage


class SentimentModel(InProcessModel):
    """A classifier of single texts. The probabilities are the softmax of its logits.

    If the catalog maps several labels of the model to one sentiment (five stars, for example), their probabilities are
    added. A text of several windows gets the mean of their probabilities, weighted by the content tokens of each
    window.
    """

    def __init__(
        self,
        info: ModelInfo,
        budget: BatchBudget,
        network: Any,
        tokenizer: TextTokenizer,
        cleaning: Cleaning,
        sentiments: Sequence[Sentiment],
    ) -> None:
        self._info, self._budget = info, budget
        self._network, self._tokenizer = network, tokenizer
        self._cleaning = cleaning
        self._sentiments = tuple(sentiments)

    @property
    def info(self) -> ModelInfo:
        """Static facts about the model."""
        return self._info

    @property
    def budget(self) -> BatchBudget:
        """Batch size that suits the model on its device, in tokens."""
        return self._budget

    @property
    def network(self) -> Any:
        """The network of transformers."""
        return self._network

    def prepare_steps(self, text: str, options: Options) -> Iterator[PreparedText[Ids] | None]:
        """Clean and tokenize a text and apply the length policy; with SentenceOptions also to each of its sentences.

        Lengths are those of the cleaned text, which is what the model reads.

        Yields:
            As `TextModel.prepare_steps`.

        Raises:
            TextEmpty: when the text has no characters.
            TextTooLong: when the text or a sentence exceeds the limit under the policy ERROR.
            TooManyTexts: when the text has too many sentences.
        """
        require_non_empty(text)
        steps = self._prepare_steps(text, options.long_text)
        if not isinstance(options, SentenceOptions):
            yield from steps
            return
        whole = None
        for prepared in steps:
            whole = prepared or whole
            yield None
        if whole is not None:
            yield from add_sentences(
                text, whole, lambda sentence: run_steps(self._prepare_steps(sentence, options.long_text))
            )

    def prepare(self, text: str, options: Options) -> PreparedText[Ids]:
        """Take all steps of `prepare_steps` at once."""
        return run_steps(self.prepare_steps(text, options))

    def _prepare_steps(self, text: str, policy: LongText) -> Iterator[PreparedText[Ids] | None]:
        return self._tokenizer.prepare_steps(self._clean_pieces(text), policy)

    def _clean_pieces(self, text: str) -> Iterator[str]:
        """Yield the pieces of the cleaned text."""
        if self._cleaning is Cleaning.NONE:
            return split_pieces(text, self._tokenizer.blanks)
        return clean_german_pieces(text, self._tokenizer.blanks)

    def compute(self, units: Sequence[Unit[Ids]]) -> list[NDArray[np.float32]]:
        """Return the probabilities of the model's own labels, float32 [labels] per unit, in the order of its logits."""
        with torch.inference_mode(), device_failures():
            ids, mask = pad_batch(
                [unit.payload for unit in units], self._tokenizer.pad_id, self._network.device
            )
            logits = self._network(input_ids=ids, attention_mask=mask).logits
            return list(torch.softmax(logits, dim=-1).cpu().numpy())

    def finish(
        self, text: str, prepared: PreparedText[Ids], outputs: Sequence[NDArray[np.float32]]
    ) -> TextResult[SentimentAnswer]:
        """Return the sentiment of one text. Of equal probabilities, the first of positive, negative, neutral wins."""
        sentiment, probabilities = self._combine_windows(prepared, outputs[: len(prepared.windows)])
        sentences = prepared.sentences if isinstance(prepared, PreparedTextWithSentences) else ()
        answers = tuple(
            SentenceAnswer(
                sentence.span,
                *self._combine_windows(sentence.prepared, sentence.select_outputs(outputs)),
                usage_in_tokens(sentence.prepared),
            )
            for sentence in sentences
        )
        return TextResult(SentimentAnswer(sentiment, probabilities, answers), usage_in_tokens(prepared))

    def _combine_windows(
        self, prepared: PreparedText[Ids], outputs: Sequence[NDArray[np.float32]]
    ) -> tuple[Sentiment, Mapping[Sentiment, float]]:
        mean = weighted_mean(outputs, [window.length for window in prepared.windows])
        probabilities = dict.fromkeys(Sentiment, 0.0)
        for sentiment, probability in zip(self._sentiments, mean.tolist(), strict=True):
            probabilities[sentiment] += probability
        return max(Sentiment, key=probabilities.__getitem__), probabilities


def load_sentiment(
    model: Model, path: Path, budget: BatchBudget, install_engine: InstallEngine = keep_torch
) -> SentimentModel:
    """Load a classifier, offline, in float32, without running code of its folder.

    Args:
        model: the catalog entry.
        path: folder of the model.
        budget: batch limits, in tokens.
        install_engine: puts an engine into the loaded network, and may move it to another device.

    Raises:
        ModelUnusable: when the weights lack tensors or a label has no sentiment. Everything else is raised as the
            libraries' own exceptions.
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
    network.eval()
    add_pause_points(network)
    sentiments = map_labels(network.config, model.serving.labels)
    limit = token_limit(tokenizer.model_max_length, position_limit(network), model.serving.max_tokens)
    engines = install_engine(network)
    info = model_info(model, max_length=limit, labels=sorted(set(sentiments)), engines=engines)
    return SentimentModel(
        info,
        engines.budget(budget),
        network,
        TextTokenizer(tokenizer, limit),
        model.serving.cleaning,
        sentiments,
    )


def map_labels(config: Any, labels: Mapping[str, str]) -> list[Sentiment]:
    """Return the sentiment of each output of a classifier, in the order of the outputs.

    Args:
        config: configuration of the network, with `num_labels`, `id2label` and `problem_type`.
        labels: `serving.labels` of the catalog.

    Raises:
        ModelUnusable: when the model is no single-label classifier, the catalog names a label that the model lacks, or
            a label is neither in the catalog nor a usual name.
    """
    if config.num_labels < 2 or config.problem_type not in (None, "single_label_classification"):
        raise ModelUnusable(
            f"it has {config.num_labels} outputs of type {config.problem_type or 'regression'}, "
            "which are not probabilities of labels that exclude each other",
            "use a model for single-label classification",
        )
    model_labels = [str(config.id2label[index]) for index in range(config.num_labels)]
    if foreign := sorted(set(labels) - set(model_labels)):
        raise ModelUnusable(
            f"serving.labels names {', '.join(foreign)}, and the model has {', '.join(model_labels)}",
            "correct serving.labels in the catalog",
        )
    sentiments = [_KNOWN_LABELS.get(labels.get(label, label).strip().lower()) for label in model_labels]
    unknown = [label for label, sentiment in zip(model_labels, sentiments, strict=True) if sentiment is None]
    if unknown:
        raise ModelUnusable(
            f"its labels {', '.join(unknown)} are neither positive, negative nor neutral",
            f"map them by serving.labels in the catalog, such as {{{unknown[0]}: negative}}",
        )
    return [sentiment for sentiment in sentiments if sentiment is not None]


def clean_german_sentiment(text: str) -> str:
    """Clean a text as the training texts of german-sentiment-bert: German letters in lower case, digits as words.

    Any text is allowed. One of emoji or punctuation only becomes the empty string. Letters with combining marks lose
    their marks, as in the original; the rules are those of `germansentiment` 1.1.0.
    """
    return _collapse_spaces(_replace_characters(text))


def _replace_characters(text: str) -> str:
    """Apply all rules of the cleaning but the last one: only German letters and spaces remain."""
    text = text.replace("\n", " ")
    text = _URL.sub("", text)
    text = _MENTION.sub("", text)
    text = text.translate(_DIGIT_WORDS)
    return _NOT_GERMAN_LETTER_OR_SPACE.sub("", text)


def _collapse_spaces(text: str) -> str:
    return " ".join(text.split()).lower()


def clean_german_pieces(text: str, blanks: Sequence[str], length: int = PIECE_LENGTH) -> Iterator[str]:
    """Yield the pieces of `clean_german_sentiment(text)`, each cleaned when it is taken.

    No rule looks beyond a space or a line break, and both are kept as a space, unlike other blanks. So the text may be
    cut there, and the cleaned pieces are joined by one space. A very long word is cut anywhere, and its pieces are
    joined by a space only where one ends or begins with it: digits become words between spaces.

    Args:
        text: the text as sent.
        blanks: where the tokenizer allows to cut the cleaned text; without the space, it is one piece.
        length: see `split_pieces`.
    """
    pieces = _joinable_pieces(split_pieces(text, (" ", "\n"), length))
    if " " in blanks:
        yield from pieces
    else:
        yield "".join(pieces)


def _joinable_pieces(pieces: Iterator[str]) -> Iterator[str]:
    """Yield each piece cleaned, with a space before it if it has to be parted from those before."""
    begun = parted = False
    for piece in pieces:
        replaced = _replace_characters(piece)
        cleaned = _collapse_spaces(replaced)
        parted = parted or replaced.startswith(" ")
        yield " " + cleaned if cleaned and begun and parted else cleaned
        if cleaned:
            begun, parted = True, replaced.endswith(" ")
