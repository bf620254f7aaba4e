"""The XLM-RoBERTa tokenizer of the embedding and the paraphrase model, trained on the corpus.

As for the real ones, SentencePiece trains a unigram model; tokenizer.json contains its pieces after the four special
tokens of XLM-R. The real bge-m3 and paraphrase model have identical tokenizers; so do these two.
"""

import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from transformers import XLMRobertaTokenizer

from tests.support.small_models.training import write_json

BOS, PAD, EOS, UNK = 0, 1, 2, 3

_PIECES: Final = 1500
_COMMON: Final = 5  # minimum number of occurrences of a word that becomes a piece
_ALPHABET: Final = (
    "abcdefghijklmnopqrstuvwxyzäöüßABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÜ0123456789.,:;!?-()\"'€%&/+éèàçşığıİŞÇÖłó"
)
_OF_SENTENCEPIECE: Final = 3  # <unk>, <s>, </s>: XLM-R replaces them by four of its own
_MASK: Final[dict[str, Any]] = {
    "content": "<mask>",
    "lstrip": True,
    "normalized": True,
    "rstrip": False,
    "single_word": False,
}
_TOKENS: Final = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
}


def train_tokenizer(texts: Iterable[str], folder: Path, *, max_length: int) -> XLMRobertaTokenizer:
    """Write sentencepiece.bpe.model, tokenizer.json and its two configurations; return the tokenizer."""
    texts = list(texts)
    proto = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]  # made at import
    proto.ParseFromString(_train_pieces(texts))
    _add_words(proto, texts)
    (folder / "sentencepiece.bpe.model").write_bytes(proto.SerializeToString(deterministic=True))
    special = [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")]
    pieces = [(piece.piece, piece.score) for piece in proto.pieces[_OF_SENTENCEPIECE:]]
    tokenizer = XLMRobertaTokenizer(
        vocab=[*special, *pieces, ("<mask>", 0.0)],
        _spm_precompiled_charsmap=proto.normalizer_spec.precompiled_charsmap or None,
        model_max_length=max_length,
    )
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    write_json(
        folder / "tokenizer_config.json",
        {
            **_TOKENS,
            "mask_token": "<mask>",
            "model_max_length": max_length,
            "tokenizer_class": "XLMRobertaTokenizer",
        },
    )
    write_json(folder / "special_tokens_map.json", {**_TOKENS, "mask_token": _MASK})
    return tokenizer


def _train_pieces(texts: Iterable[str]) -> bytes:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=written,
        vocab_size=_PIECES,
        hard_vocab_limit=False,
        model_type="unigram",
        character_coverage=1.0,
        required_chars=_ALPHABET,
        num_threads=1,  # the sum depends on the order
        minloglevel=2,
    )
    return written.getvalue()


def _add_words(model: Any, texts: Sequence[str]) -> None:
    """Make every common word a piece.

    SentencePiece starts from substrings that several words share. In a small vocabulary it would therefore split even
    "mit" and "und", which occur within other words only in a large one.
    """
    known = {piece.piece for piece in model.pieces}
    counts = Counter(word for text in texts for word in re.findall(r"\w+(?:-\w+)*", text))
    total = sum(counts.values())
    for word, count in sorted(counts.items()):
        if count >= _COMMON and f"▁{word}" not in known:
            model.pieces.add(piece=f"▁{word}", score=math.log(count / total))
