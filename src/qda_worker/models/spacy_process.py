"""The child process that runs a spaCy pipeline, and the protocol that it speaks with the worker.

Why a process: spaCy holds Python's global interpreter lock while it computes. Inside the worker's process every other
call would wait for it (p99 of 84 ms, measured). The worker starts this file as a program (`spacy_child`). Of the worker
it imports `spacy_tokenizer` only, and no torch unless the pipeline needs it.

Protocol: frames over standard input and output, in both directions. A frame is its length as four bytes, big-endian,
and then JSON in UTF-8.

- First frame to the worker: `{"ready": {"labels", "max_length", "spacy", "local"}}`, or
  `{"unusable": {"message", "remedy"}}`, after which the process exits with status 1.
- Each request `{"passages": [{"text", "start", "end", "counted_only"}, ...]}` gets one response, in order:
  `{"found": [{"entities": [[start, end, label], ...], "tokens"}, ...]}`, or `{"error": NAME}` with the type of the
  exception if spaCy raised one. The message is left out because it may contain text of the user.

File descriptor 1 is redirected to standard error at the start, so that output of libraries goes to the log and not
between the frames.

Threads: the main thread computes. A reader thread passes requests on; when standard input ends, which is how the end of
the worker shows even after SIGKILL, it ends this process at once, also during a load or a computation. SIGINT and
SIGTERM are ignored, because a draining worker still needs results.

Memory: spaCy keeps every new word in its vocabulary. A memory zone (spaCy 3.8) releases them at its end, and with them
all that was computed about a word, which is half of the time of a text (measured). So a zone lasts for many requests,
until it has `MAX_NEW_WORDS` (`Recognizer`).
"""

import json
import os
import signal
import struct
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, Final

from qda_worker.models.spacy_tokenizer import limit_affix_searches, make_doc

# Length of a frame: unsigned, four bytes, big-endian.
_LENGTH: Final = struct.Struct(">I")

# Factories whose results a statistical `ner` does not read. The parser, senter and sentencizer are not among them: ner
# starts no entity that would cross the sentence boundaries that they set.
_REMOVABLE: Final = frozenset(
    {"tagger", "morphologizer", "lemmatizer", "trainable_lemmatizer", "attribute_ruler"}
)
_KNOWN: Final = _REMOVABLE | {"tok2vec", "parser", "senter", "sentencizer", "ner", "beam_ner"}
# Factories whose results at a place depend only on the words around it, so that a long text can be read in parts.
_LOCAL: Final = _KNOWN | {"entity_ruler", "span_ruler"}
# Parts of architecture names in config.cfg whose networks have unbounded context.
_UNBOUNDED_CONTEXT: Final = ("transformer", "BiLSTM")
# Prefixes of token attributes that ner reads.
_ATTRIBUTES_READ_BY_NER: Final = ("SENT_START", "IS_SENT_START", "ENT_")

# New words of a memory zone after which the next request gets another one: about 45 MB (measured).
MAX_NEW_WORDS: Final = 50_000


@dataclass(frozen=True, slots=True)
class PipelineInfo:
    """Facts about a loaded pipeline.

    Attributes:
        labels: entity labels, sorted.
        max_length: longest text in code points.
        spacy: version of spaCy.
        local: whether the entities at a place depend only on the words around it.
    """

    labels: list[str]
    max_length: int
    spacy: str
    local: bool


@dataclass(frozen=True, slots=True)
class Passage:
    """A text, or a part of one, in a request.

    Attributes:
        text: what is read.
        start: first code point of the part that counts; what is before is context.
        end: end of the part that counts; what is behind is context.
        counted_only: only count the tokens, do not search for entities.
    """

    text: str
    start: int
    end: int
    counted_only: bool = False


@dataclass(frozen=True, slots=True)
class PassageResult:
    """The result for one passage, limited to the part that counts.

    Attributes:
        entities: (start, end, label) in code points of the passage's text.
        tokens: number of tokens, by spaCy's tokenizer.
    """

    entities: list[tuple[int, int, str]]
    tokens: int


def write_frame(stream: IO[bytes], message: dict[str, Any]) -> None:
    """Write one frame.

    Raises:
        BrokenPipeError: when the other side has closed the stream.
    """
    body = json.dumps(message, ensure_ascii=False).encode()
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def read_frame(stream: IO[bytes]) -> dict[str, Any] | None:
    """Read one frame; return None at the end of the stream, even in the middle of a frame."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    if len(body) < length:
        return None
    message: dict[str, Any] = json.loads(body)
    return message


def removable_components(config: dict[str, Any], attribute_ruler_is_harmless: bool) -> list[str]:
    """Return the names of components that can be left out without changing the entities.

    Args:
        config: the pipeline's config.cfg.
        attribute_ruler_is_harmless: whether no rule of its attribute ruler sets an attribute that ner reads.

    Returns:
        Component names; empty if the pipeline has an unknown component, such as an entity_ruler whose patterns may use
        tags.
    """
    components: dict[str, dict[str, Any]] = config.get("components", {})
    disabled = set(config["nlp"].get("disabled", []))
    factories = {
        name: component.get("factory") for name, component in components.items() if name not in disabled
    }
    if not set(factories.values()) <= _KNOWN:
        return []
    if "attribute_ruler" in factories.values() and not attribute_ruler_is_harmless:
        return []
    return [name for name, factory in factories.items() if factory in _REMOVABLE]


class Recognizer:
    """Finds entities with a pipeline, and bounds what it remembers of the words."""

    def __init__(self, nlp: Any, max_new_words: int = MAX_NEW_WORDS) -> None:
        """Begin without a memory zone.

        Args:
            nlp: the pipeline.
            max_new_words: words that are new in a memory zone after which it ends.
        """
        self._nlp = nlp
        self._max_new_words = max_new_words
        self._zone = ExitStack()
        self._words_at_most: int | None = None  # in the vocabulary; None outside a zone

    def recognize(self, passages: Sequence[Passage]) -> list[PassageResult]:
        """Return what the pipeline finds in each passage."""
        self._enter_zone()
        try:
            return self._recognize(passages)
        except BaseException:
            self._leave_zone()
            raise

    def _recognize(self, passages: Sequence[Passage]) -> list[PassageResult]:
        searched = [make_doc(self._nlp, passage.text) for passage in passages if not passage.counted_only]
        docs = self._nlp.pipe(searched, batch_size=len(passages))
        return [
            _passage_result(
                passage, make_doc(self._nlp, passage.text) if passage.counted_only else next(docs)
            )
            for passage in passages
        ]

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
        nlp = _load(folder)
    except Exception as error:  # noqa: BLE001  # every failure becomes one frame, with the cause for the worker's log
        write_frame(answers, {"unusable": _explain(error)})
        return 1
    write_frame(answers, {"ready": asdict(_pipeline_info(nlp))})
    recognizer = Recognizer(nlp)
    while True:
        request = requests.get()
        try:
            passages = [Passage(**passage) for passage in request["passages"]]
            answer: dict[str, Any] = {"found": [asdict(result) for result in recognizer.recognize(passages)]}
        except Exception as error:  # noqa: BLE001  # one bad text must not end the process; its message may quote it
            answer = {"error": type(error).__name__}
        try:
            write_frame(answers, answer)
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


def _load(folder: Path) -> Any:
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
    exclude = removable_components(load_config(folder / "config.cfg"), _attribute_ruler_is_harmless(folder))
    nlp = load_pipeline(folder, exclude=exclude)
    limit_affix_searches(nlp.tokenizer)
    if not _entity_pipes(nlp):
        raise ValueError("the pipeline has no component that finds named entities")
    return nlp


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


def _attribute_ruler_is_harmless(folder: Path) -> bool:
    """Return whether no rule of the attribute ruler sets sentence boundaries or entities."""
    import srsly  # type: ignore[import-untyped]  # it has no types

    patterns = folder / "attribute_ruler" / "patterns"
    if not patterns.is_file():
        return True
    names = {str(name) for rule in srsly.read_msgpack(patterns) for name in rule["attrs"]}
    return not any(name.startswith(_ATTRIBUTES_READ_BY_NER) for name in names)


def _entity_pipes(nlp: Any) -> list[tuple[str, Any]]:
    """Return the components that assign `doc.ents`."""
    return [(name, pipe) for name, pipe in nlp.pipeline if "doc.ents" in nlp.get_pipe_meta(name).assigns]


def _pipeline_info(nlp: Any) -> PipelineInfo:
    from spacy import about

    labels = {str(label) for _, pipe in _entity_pipes(nlp) for label in getattr(pipe, "labels", ())}
    factories = {nlp.get_pipe_meta(name).factory for name in nlp.pipe_names}
    config = nlp.config.to_str()
    local = factories <= _LOCAL and not any(name in config for name in _UNBOUNDED_CONTEXT)
    return PipelineInfo(sorted(labels), nlp.max_length, about.__version__, local)


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
