"""The small sentiment model: german-sentiment-bert's architecture, labels, cleaning and files."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer
from transformers import BertConfig, BertForSequenceClassification

from qda_worker.models.sentiment import clean_german_sentiment
from tests.support.small_models.decoys import write_decoys
from tests.support.small_models.frames import Statement
from tests.support.small_models.statements import (
    Group,
    add_opener,
    join_statements,
    load_corpus,
    load_exclamations,
    load_openers,
)
from tests.support.small_models.training import make_deterministic, train, write_json, write_safetensors
from tests.support.small_models.wordpieces import word_pieces

LABELS: Final = ("positive", "negative", "neutral")  # the real model's order

_EPOCHS: Final = 3
_BATCH: Final = 48
_CORRUPTED_SHARE: Final = 0.1  # share of tokens that are replaced by the unknown or a random one
_SPECIAL: Final = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}
_CONFIG: Final[dict[str, Any]] = {
    "_num_labels": len(LABELS),
    "architectures": ["BertForSequenceClassification"],
    "attention_probs_dropout_prob": 0.1,
    "finetuning_task": "germansentiment",
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 128,
    "id2label": {str(number): label for number, label in enumerate(LABELS)},
    "initializer_range": 0.09,  # the real 0.02 is for 768 dimensions, and too small for 128
    "intermediate_size": 128,
    "label2id": {label: number for number, label in enumerate(LABELS)},
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pad_token_id": 0,
    "type_vocab_size": 2,
}

Example = tuple[list[int], int]


def build(folder: Path, seed: int) -> dict[str, float]:
    """Train, write the repository's files into `folder`, return the held-out accuracy."""
    make_deterministic(seed)
    rng = random.Random(seed)
    corpus = load_corpus(seed)
    statements = _varied(corpus.train, rng)
    texts = [clean_german_sentiment(statement.text) for statement in statements]
    vocabulary = word_pieces(texts)
    (folder / "vocab.txt").write_text("".join(f"{piece}\n" for piece in vocabulary), "utf-8")
    tokenizer = BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=False)
    config = {**_CONFIG, "vocab_size": len(vocabulary)}
    model = BertForSequenceClassification(BertConfig(**config))
    examples = [
        (tokenizer.encode(text).ids, LABELS.index(statement.polarity))
        for text, statement in zip(texts, statements, strict=True)
    ]
    _fit(model, examples, rng)
    held_out = [statement for group in corpus.held_out for statement in group]
    accuracy = _accuracy(model, tokenizer, held_out)
    write_safetensors(model, folder / "model.safetensors")
    write_json(folder / "config.json", config)
    write_json(
        folder / "tokenizer_config.json", {"do_lower_case": False, "model_max_length": 512, **_SPECIAL}
    )
    write_json(folder / "special_tokens_map.json", _SPECIAL)
    write_decoys(folder, ("pytorch_model.bin", "training_args.bin"), "small German sentiment model")
    return {"accuracy": accuracy}


def _varied(groups: Sequence[Group], rng: random.Random) -> list[Statement]:
    """Return all statements, some with an opener, some joined with a neutral one."""
    openers, exclamations = load_openers(), list(load_exclamations())
    plain = [statement for group in groups for statement in group]
    slotless = [statement for statement in plain if statement.meaning.endswith("|")]
    plain += (exclamations + slotless) * 6  # these are few, and have the most distinct words
    neutral = [statement for statement in plain if statement.polarity == "neutral"]
    varied: list[Statement] = []
    for statement in plain:
        chance = rng.random()
        if chance < 0.2:
            varied.append(add_opener(rng.choice(openers), statement))
        elif chance < 0.4:
            pair = [rng.choice(neutral), statement]
            rng.shuffle(pair)
            varied.append(join_statements(*pair))
        else:
            varied.append(statement)
    return varied


def _fit(model: BertForSequenceClassification, examples: Sequence[Example], rng: random.Random) -> None:
    batches: list[list[Example]] = []
    for _ in range(_EPOCHS):
        # Chunks of similar length need little padding; their composition is random.
        order = sorted(examples, key=lambda example: len(example[0]) + rng.random() * 4)
        chunks = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
        rng.shuffle(chunks)
        batches += chunks
    vocabulary = model.config.vocab_size

    def loss_of(batch: list[Example]) -> torch.Tensor:
        ids, mask = _padded([ids for ids, _ in batch])
        corrupted = (torch.rand(ids.shape) < _CORRUPTED_SHARE) & mask.bool() & (ids > 4)
        other = torch.where(torch.rand(ids.shape) < 0.5, torch.randint_like(ids, 5, vocabulary), 1)
        labels = torch.tensor([label for _, label in batch])
        output = model(input_ids=torch.where(corrupted, other, ids), attention_mask=mask, labels=labels)
        loss: torch.Tensor = output.loss
        return loss

    # Without dropout, which takes a third of the time: the corrupted tokens already prevent overfitting.
    model.eval()  # type: ignore[no-untyped-call]  # transformers leaves it without types
    train(model.parameters(), batches, loss_of, learning_rate=1.5e-3)


def _accuracy(
    model: BertForSequenceClassification, tokenizer: BertWordPieceTokenizer, statements: Sequence[Statement]
) -> float:
    right = 0
    for start in range(0, len(statements), 256):
        chunk = statements[start : start + 256]
        ids, mask = _padded([tokenizer.encode(clean_german_sentiment(each.text)).ids for each in chunk])
        with torch.inference_mode():
            best = model(input_ids=ids, attention_mask=mask).logits.argmax(dim=1).tolist()
        right += sum(LABELS[label] == each.polarity for label, each in zip(best, chunk, strict=True))
    return right / len(statements)


def _padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(row) for row in rows)
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return ids, mask
