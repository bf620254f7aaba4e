"""The child process that runs a spaCy pipeline. `spacy_protocol` is what it speaks with the worker.

Why a process: spaCy holds Python's global interpreter lock while it computes. Inside the worker's process every other
call would wait for it (p99 of 84 ms, measured). The worker starts this file as a program (`spacy_child`). Of the worker
it imports a few small modules only, and no torch unless the pipeline needs it.

File descriptor 1 is redirected to standard error at the start, so that output of libraries goes to the log and not
between the frames.

Threads: the main thread computes. A reader thread passes requests on; when standard input ends, which is how the end of
the worker shows even after SIGKILL, it ends this process at once, also during a load or a computation. SIGINT and
SIGTERM are ignored, because a draining worker still needs results.

Memory: spaCy keeps every new word in its vocabulary. A memory zone (spaCy 3.8) releases them at its end, and with them
all that was computed about a word, which is half of the time of a text (measured). So a zone lasts for many requests,
until it has `MAX_NEW_WORDS` (`Analyzer`).
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final

from qda_worker.models.spacy_components import (
    Component,
    Rule,
    SyntaxLayer,
    describe_components,
    is_local,
    layers_of,
    required_components,
)
from qda_worker.models.spacy_protocol import (
    Passage,
    PassageResult,
    PipelineInfo,
    encode_results,
    read_frame,
    write_frame,
)
from qda_worker.models.spacy_tokenizer import limit_affix_searches, make_doc
from qda_worker.models.token_columns import read_tables

# New words of a memory zone after which the next request gets another one: about 45 MB (measured).
MAX_NEW_WORDS: Final = 50_000


class Analyzer:
    """Runs a pipeline on passages, and bounds what it remembers of the words."""

    def __init__(self, nlp: Any, components: Sequence[Component], max_new_words: int = MAX_NEW_WORDS) -> None:
        """Begin without a memory zone.

        Args:
            nlp: the pipeline.
            components: its components.
            max_new_words: words that are new in a memory zone after which it ends.
        """
        self._nlp = nlp
        self._components = components
        self._max_new_words = max_new_words
        self._zone = ExitStack()
        self._words_at_most: int | None = None  # in the vocabulary; None outside a zone

    def analyze(self, passages: Sequence[Passage]) -> list[PassageResult]:
        """Return what the pipeline finds in each passage."""
        self._enter_zone()
        try:
            return self._analyze(passages)
        except BaseException:
            self._leave_zone()
            raise

    def _analyze(self, passages: Sequence[Passage]) -> list[PassageResult]:
        docs = self._run(passages)
        numbers = [number for number, passage in enumerate(passages) if passage.table]
        results = [
            PassageResult((), len(doc)) if passage.table else _passage_result(passage, doc)
            for passage, doc in zip(passages, docs, strict=True)
        ]
        if numbers:
            wanted = [passages[number].layers for number in numbers]
            tables, strings = read_tables([docs[number] for number in numbers], wanted)
            for number, table in zip(numbers, tables, strict=True):
                results[number] = PassageResult((), table.shape[1], table, strings)
        return results

    def _run(self, passages: Sequence[Passage]) -> list[Any]:
        """Return the documents. Passages that need the same components run through them together."""
        docs = [make_doc(self._nlp, passage.text) for passage in passages]
        groups: dict[tuple[str, ...], list[int]] = {}
        for number, passage in enumerate(passages):
            names = required_components(self._components, passage.layers)
            groups.setdefault(names, []).append(number)
        for names, numbers in groups.items():
            if not names:
                continue
            left_out = [name for name in self._nlp.pipe_names if name not in names]
            together = [docs[number] for number in numbers]
            done = self._nlp.pipe(together, disable=left_out, batch_size=len(together))
            for number, doc in zip(numbers, done, strict=True):
                docs[number] = doc
        return docs

    def _enter_zone(self) -> None:
        words = len(self._nlp.vocab)  # it counts those of former zones too
        if self._words_at_most is not None and words < self._words_at_most:
            return
        self._leave_zone()
        if hasattr(self._nlp, "memory_zone"):
            self._zone.enter_context(self._nlp.memory_zone())
            self._words_at_most = words + self._max_new_words

    def _leave_zone(self) -> None:
        self._zone.close()
        self._words_at_most = None


def main(argv: Sequence[str]) -> int:
    """Load the pipeline in the folder `argv[0]` and answer requests until standard input ends.

    Returns:
        The exit status: 1 if the pipeline cannot be loaded, 0 if the worker has closed the output.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        # A draining worker still needs results; this process ends when the worker does.
        signal.signal(number, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of libraries goes to the log, not between the frames
    requests: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_receive, args=(requests,), daemon=True).start()
    folder = Path(argv[0])
    try:
        nlp, components = _load(folder)
    except Exception as error:  # noqa: BLE001  # every failure becomes one frame, with the cause for the worker's log
        write_frame(answers, {"unusable": _explain(error)})
        return 1
    write_frame(answers, {"ready": asdict(_pipeline_info(nlp, components))})
    analyzer = Analyzer(nlp, components)
    while True:
        request = requests.get()
        body = b""
        try:
            passages = [Passage(**passage) for passage in request["passages"]]
            answer, body = encode_results(analyzer.analyze(passages))
        except Exception as error:  # noqa: BLE001  # one bad text must not end the process; its message may quote it
            answer = {"error": type(error).__name__}
        try:
            write_frame(answers, answer, body)
        except BrokenPipeError:
            return 0


def _receive(requests: SimpleQueue[dict[str, Any]]) -> None:
    """Pass on the requests. End the process at the end of the input, because then the worker has ended.

    An error ends it too, with status 1: without this thread it would wait without end.
    """
    status = 1
    try:
        with os.fdopen(os.dup(0), "rb") as incoming:
            while (request := read_frame(incoming)) is not None:
                requests.put(request)
        status = 0
    finally:
        os._exit(status)


class _VersionMismatch(ValueError):
    """The package was made for another version of spaCy."""


def _load(folder: Path) -> tuple[Any, tuple[Component, ...]]:
    if not (folder / "config.cfg").is_file():
        raise FileNotFoundError(f"{folder / 'config.cfg'} is missing")
    if "transformer" not in (folder / "config.cfg").read_text(encoding="utf-8"):
        sys.modules["torch"] = None  # type: ignore[assignment]  # thinc imports torch if it can: 200 MB unused
    from spacy import about
    from spacy import load as load_pipeline
    from spacy.util import is_compatible_version, load_config, load_meta

    # spaCy itself only warns about an incompatible package (W095).
    required = load_meta(folder / "meta.json").get("spacy_version", "")
    if is_compatible_version(about.__version__, required) is False:
        raise _VersionMismatch(
            f"the package is made for spaCy {required}, and this is spaCy {about.__version__}"
        )
    nlp = load_pipeline(folder)
    limit_affix_searches(nlp.tokenizer)
    declared = {name: list(nlp.get_pipe_meta(name).assigns) for name in nlp.pipe_names}
    config = load_config(folder / "config.cfg")
    return nlp, describe_components(config, _rules(folder, nlp), declared)


def _explain(error: Exception) -> dict[str, str]:
    text = str(error).partition("\n")[0] or type(error).__name__
    if isinstance(error, _VersionMismatch):
        return {"message": text, "remedy": "give the package's version for this spaCy in the catalog"}
    if isinstance(error, ImportError):
        return {"message": text, "remedy": "install the worker extra: pip install 'qda-worker[worker]'"}
    return {
        "message": f"{type(error).__name__}: {text}",
        "remedy": "run cache-check --deep, then cache-warmer repair",
    }


def _rules(folder: Path, nlp: Any) -> list[Rule]:
    """Return which attributes the rules of the attribute rulers read and set."""
    import srsly  # type: ignore[import-untyped]  # it has no types

    rules = []
    for name in nlp.pipe_names:
        patterns = folder / name / "patterns"
        if nlp.get_pipe_meta(name).factory != "attribute_ruler" or not patterns.is_file():
            continue
        for rule in srsly.read_msgpack(patterns):
            read = {str(key) for pattern in rule["patterns"] for token in pattern for key in token}
            rules.append(Rule(frozenset(read), frozenset(map(str, rule["attrs"]))))
    return rules


def _pipeline_info(nlp: Any, components: Sequence[Component]) -> PipelineInfo:
    from spacy import about

    recognizers = [nlp.get_pipe(each.name) for each in components if SyntaxLayer.ENTITIES in each.offers]
    labels = {str(label) for pipe in recognizers for label in getattr(pipe, "labels", ())}
    return PipelineInfo(
        labels=sorted(labels),
        max_length=nlp.max_length,
        spacy=about.__version__,
        local=is_local(components, nlp.config.to_str()),
        components=[each.name for each in components],
        layers={layer: list(required_components(components, [layer])) for layer in layers_of(components)},
    )


def _passage_result(passage: Passage, doc: Any) -> PassageResult:
    return PassageResult(
        entities=[
            (entity.start_char, entity.end_char, entity.label_)
            for entity in doc.ents
            if passage.start <= entity.start_char < passage.end
        ],
        tokens=len(doc)
        if passage.end - passage.start >= len(passage.text)
        else sum(passage.start <= token.idx < passage.end for token in doc),
    )


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)  # skip the interpreter's clean-up: the reader thread may hold the lock of its stream
