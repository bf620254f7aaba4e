"""One library, run in its own environment as its users run it: requests and answers are lines of JSON.

    python program.py KIND FOLDER --task sentiment|embedding|entities --threads N --prepared DIR [--device cuda]

After one answer it prints `{"ready": ...}`. Then each line on stdin is `{"method": "bulk" | "single", "texts": [...]}`,
and the answer has the seconds of the whole list, or those of each text alone. It imports nothing of this project.
"""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, TextIO

# Batch size of all libraries: the default of sentence-transformers and Infinity.
_BATCH: Final = 32
# Padded tokens of a batch of the bare forward pass: the smallest budget of the worker.
_BATCH_TOKENS: Final = {"cpu": 1024, "cuda": 16384}
# Components of a German spaCy pipeline that the worker runs for entities. The parser is one of them: no entity crosses
# a border of sentences, so without it the entities would differ from those of the whole pipeline, and take less time.
ENTITY_COMPONENTS: Final = ("tok2vec", "parser", "ner")
_SAMPLE: Final = "Das Gespräch mit Frau Müller in Köln war sehr angenehm."

# Computes a list of texts and returns nothing of interest.
Compute = Callable[[list[str]], Any]


@dataclass(frozen=True)
class Options:
    """What a library loads.

    Attributes:
        folder: of the model.
        task: of the model.
        threads: number of threads to compute with.
        precision: fp32, tf32, bf16 or int8; a library without it computes in fp32.
        prepared: folder for what a library exports once.
        device: cpu or cuda.
        components: of a spaCy pipeline that run.
    """

    folder: str
    task: str
    threads: int
    precision: str
    prepared: Path
    device: str = "cpu"
    components: Sequence[str] = ENTITY_COMPONENTS

    @property
    def openvino(self) -> dict[str, str]:
        """Configuration of OpenVINO, which computes in bf16 by itself where the processor has instructions for it."""
        precision = "bf16" if self.precision == "bf16" else "f32"
        return {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": str(self.threads)}


class Bare:
    """The forward pass alone: texts are tokenized before the time is taken, and sorted by length."""

    def __init__(self, network: Any, folder: str, device: str = "cpu") -> None:
        """Load the tokenizer.

        Args:
            network: takes tokenized texts by name, on the device.
            folder: of the model.
            device: cpu or cuda.
        """
        import torch
        from transformers import AutoTokenizer

        self._torch = torch
        self._network = network
        self._device = device
        self._tokenizer: Any = AutoTokenizer.from_pretrained(folder)

    def batches(self, texts: Sequence[str]) -> list[Any]:
        """Return the tokenized batches, the shortest texts first."""
        lengths = [len(ids) for ids in self._tokenizer(list(texts))["input_ids"]]
        batches: list[list[str]] = [[]]
        for length, text in sorted(zip(lengths, texts, strict=True)):
            if batches[-1] and (len(batches[-1]) + 1) * length > _BATCH_TOKENS[self._device]:
                batches.append([])
            batches[-1].append(text)
        return [
            self._tokenizer(batch, padding=True, return_tensors="pt").to(self._device) for batch in batches
        ]

    def run(self, batch: Any) -> None:
        """Compute one batch."""
        with self._torch.inference_mode():
            self._network(**batch)
        if self._device == "cuda":  # which computes behind the back of this process
            self._torch.cuda.synchronize()


def timed(computation: Callable[[], Any]) -> float:
    """Return the seconds of a computation."""
    began = time.perf_counter()
    computation()
    return time.perf_counter() - began


def bare_torch(options: Options) -> Bare:
    """Return the forward pass of torch; int8 is its own dynamic quantization."""
    import torch
    from transformers import AutoModel, AutoModelForSequenceClassification

    kind: Any = AutoModelForSequenceClassification if options.task == "sentiment" else AutoModel
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    network = kind.from_pretrained(options.folder, dtype=dtype).train(mode=False)
    if options.precision == "int8":
        quantize: Any = torch.ao.quantization.quantize_dynamic
        network = quantize(network, {torch.nn.Linear}, dtype=torch.qint8)
    torch.backends.cuda.matmul.allow_tf32 = options.precision == "tf32"
    return Bare(network.to(options.device), options.folder, options.device)


def bare_openvino(options: Options) -> Bare:
    """Return the forward pass of OpenVINO, by a model that optimum exports once."""
    from optimum import intel

    kind: Any = (
        intel.OVModelForSequenceClassification
        if options.task == "sentiment"
        else intel.OVModelForFeatureExtraction
    )
    if not options.prepared.exists():
        kind.from_pretrained(options.folder, export=True, compile=False).save_pretrained(options.prepared)
    return Bare(kind.from_pretrained(options.prepared, ov_config=options.openvino), options.folder)


def transformers(options: Options) -> Compute:
    """Return the pipeline of transformers, with batches in the order of the texts."""
    from transformers import pipeline

    kind: Any = "text-classification" if options.task == "sentiment" else "feature-extraction"
    classify = pipeline(kind, model=options.folder, device=options.device)
    truncation: dict[str, Any] = (
        {"truncation": True} if options.task == "sentiment" else {"tokenize_kwargs": {"truncation": True}}
    )
    return lambda texts: classify(texts, batch_size=_BATCH, **truncation)


def sentence_transformers(backend: str) -> Callable[[Options], Compute]:
    """Return the loader of sentence-transformers with one of its backends."""

    def load(options: Options) -> Compute:
        from sentence_transformers import SentenceTransformer

        choice: dict[str, Any] = {"device": options.device}
        folder = options.folder
        if backend != "torch":
            choice["backend"] = backend
            if (
                not options.prepared.exists()
            ):  # the export takes minutes; its documentation recommends to keep it
                SentenceTransformer(folder, **choice).save_pretrained(str(options.prepared))
            folder = str(options.prepared)
        if backend == "onnx" and options.precision == "int8":
            choice["model_kwargs"] = {"file_name": quantized_file(folder)}
        if backend == "openvino":
            choice["model_kwargs"] = {"ov_config": options.openvino}
        model = SentenceTransformer(folder, **choice)
        return lambda texts: model.encode(texts, batch_size=_BATCH)

    return load


def quantized_file(folder: str) -> str:
    """Return the int8 file of a model that was exported to ONNX, which is made unless it is there."""
    import sentence_transformers as library

    kind = "avx512_vnni" if "avx512_vnni" in Path("/proc/cpuinfo").read_text("utf-8") else "avx2"
    name = f"onnx/model_qint8_{kind}.onnx"
    if not (Path(folder) / name).exists():
        quantize: Any = library.export_dynamic_quantized_onnx_model
        quantize(library.SentenceTransformer(folder, device="cpu", backend="onnx"), kind, folder)
    return name


def flag_embedding(options: Options) -> Compute:
    """Return FlagEmbedding's class for bge-m3, in fp32 on the CPU."""
    from FlagEmbedding import BGEM3FlagModel

    model = BGEM3FlagModel(options.folder, use_fp16=False, devices="cpu")
    return lambda texts: model.encode(texts, batch_size=_BATCH)


def spacy(options: Options) -> Compute:
    """Return spaCy's pipe with some of its components."""
    import spacy as library

    nlp = library.load(options.folder)
    needed = options.components if "ner" in nlp.pipe_names else nlp.pipe_names
    unneeded = [name for name in nlp.pipe_names if name not in needed]

    def compute(texts: list[str]) -> Any:
        with nlp.memory_zone():
            return sum(len(document.ents) for document in nlp.pipe(texts, disable=unneeded))

    return compute


LIBRARIES: Final[dict[str, Callable[[Options], Compute | Bare]]] = {
    "bare": bare_torch,
    "bare-openvino": bare_openvino,
    "transformers": transformers,
    "sentence-transformers": sentence_transformers("torch"),
    "onnx": sentence_transformers("onnx"),
    "openvino": sentence_transformers("openvino"),
    "flagembedding": flag_embedding,
    "spacy": spacy,
}
PACKAGES: Final = (
    "torch", "transformers", "sentence-transformers", "optimum", "optimum-intel", "optimum-onnx", "onnxruntime",
    "openvino", "FlagEmbedding", "spacy",
)  # fmt: skip


def seconds_of(compute: Compute | Bare, texts: list[str], *, single: bool) -> list[float]:
    """Return the seconds of each text alone, or of the parts of the whole list."""
    if isinstance(compute, Bare):
        lists = [[text] for text in texts] if single else [texts]
        batches = [batch for one in lists for batch in compute.batches(one)]
        return [timed(lambda batch=batch: compute.run(batch)) for batch in batches]  # type: ignore[misc]
    if single:
        return [timed(lambda text=text: compute([text])) for text in texts]  # type: ignore[misc]
    return [timed(lambda: compute(texts))]


def private_stdout() -> TextIO:
    """Return a file for what goes to stdout now, and let what libraries print go to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    return answers


def main() -> None:
    """Load a library and answer requests until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("kind", choices=list(LIBRARIES))
    parser.add_argument("folder")
    parser.add_argument("--task", default="embedding", choices=["sentiment", "embedding", "entities"])
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--precision", default="fp32", choices=["fp32", "tf32", "bf16", "int8"])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument(
        "--prepared", type=Path, required=True, help="folder for what the library exports once"
    )
    parser.add_argument(
        "--components",
        nargs="+",
        default=ENTITY_COMPONENTS,
        help="of a spaCy pipeline; default: for entities",
    )
    arguments = parser.parse_args()
    answers = private_stdout()
    if arguments.kind != "spacy":
        import torch

        torch.set_num_threads(arguments.threads)
    compute = LIBRARIES[arguments.kind](
        Options(
            arguments.folder,
            arguments.task,
            arguments.threads,
            arguments.precision,
            arguments.prepared,
            arguments.device,
            arguments.components,
        )
    )
    answer_requests(compute, answers)


def answer_requests(compute: Compute | Bare, answers: TextIO) -> None:
    """Compute one text, print the versions of the libraries, and answer requests until stdin ends."""
    seconds_of(compute, [_SAMPLE], single=True)
    versions = {}
    for package in PACKAGES:
        with contextlib.suppress(ImportError):
            versions[package] = version(package)
    print(json.dumps({"ready": versions}), file=answers)
    for line in sys.stdin:
        request = json.loads(line)
        seconds = seconds_of(compute, request["texts"], single=request["method"] == "single")
        print(json.dumps({"seconds": seconds}), file=answers)


if __name__ == "__main__":
    main()
