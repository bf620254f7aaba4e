"""Bytes that the default catalog fetches, compared with an unfiltered download of its repositories.

Sizes in bytes as the models' pages list them (rounded there to three digits for most big files); files below 100 kB do
not change the sum. The size of a whole repository is in the lock.
"""

from typing import Final

from cache_warmer.artifacts.hf_snapshot import select_files
from cache_warmer.hub.client import RemoteFile
from model_cache.catalog.catalog import HuggingFaceSource
from model_cache.catalog.lock import load_lock
from model_cache.catalog.parse import load_catalog

MB: Final = 1_000_000
PROMISED_SHARE: Final = 0.25
SIZES: Final = {
    "german-sentiment": {
        "model.safetensors": 436 * MB,
        "pytorch_model.bin": 436 * MB,
        "tf_model.h5": 437 * MB,
        "flax_model.msgpack": 436 * MB,
    },
    "multilingual-embedding": {
        "pytorch_model.bin": 2_271_145_830,
        "onnx/model.onnx_data": 2_266_820_608,
        "onnx/tokenizer.json": 17 * MB,
        "onnx/sentencepiece.bpe.model": 5_069_051,
        "sentencepiece.bpe.model": 5_069_051,
        "tokenizer.json": 17_098_108,
        "imgs/mkqa.jpg": 608 * 1000,
    },
    "multilingual-paraphrase": {
        "model.safetensors": 1110 * MB,
        "pytorch_model.bin": 1110 * MB,
        "tf_model.h5": 1110 * MB,
        "onnx/model.onnx": 1110 * MB,
        "onnx/model_O1.onnx": 1110 * MB,
        "onnx/model_O4.onnx": 555 * MB,
        "openvino/openvino_model.bin": 1110 * MB,
        "sentencepiece.bpe.model": 5_069_051,
        "tokenizer.json": 9_080_000,
    },
}


def test_at_most_a_quarter_of_the_repositories_is_fetched() -> None:
    lock = load_lock(None)
    assert lock is not None
    fetched = whole = 0
    for model in load_catalog(None).models:
        if not isinstance(model.source, HuggingFaceSource):
            continue
        sizes = {**dict.fromkeys(model.source.files, 1000), **SIZES[model.key]}
        listed = [RemoteFile(path, size, "0" * 40, None) for path, size in sizes.items()]
        fetched += sum(file.bytes for file in select_files(listed, model.source.files, model.key))
        locked = lock.models[model.key]
        whole += locked.whole_repository_bytes or locked.whole_repository_bytes_about or 0

    assert 3.8e9 < fetched < 3.9e9, "the weights that are loaded, once each"
    assert fetched <= PROMISED_SHARE * whole
