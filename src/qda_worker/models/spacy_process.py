"""spaCy in a process of its own: a program that the worker starts and speaks to over its standard streams.

spaCy holds Python's global lock while it computes: in the worker's process every other call would wait (measured there:
p99 of 84 ms). The program imports nothing else of the worker's, and no torch unless the pipeline is built on it.

Frames go both ways: four bytes of length, big-endian, then JSON in UTF-8. The first frame out is
`{"ready": {"labels", "max_length", "spacy", "local"}}` or `{"unusable": {"message", "remedy"}}`; then each frame in,
`{"passages": [{"text", "start", "end", "counted_only"}, ...]}`, is answered by
`{"found": [{"entities": [[start, end, label], ...], "tokens"}, ...]}` or by `{"error": NAME}`.

Makes spaCy's tokenizer fit for words of nothing but signs, such as a row of 50,000 emoji or brackets.

The tokenizer takes one prefix or suffix off a word at a time and looks for the next in all that is left: for a row of
5,000 brackets 8 s, for 50,000 a quarter of an hour (measured), in which the pipeline answers nobody. A prefix begins a
word and a suffix ends it, so it is enough to look there; the tokens stay the same.
"""

import json
import os
import re
import signal
import struct
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, Final

# Code points at a word's end that are searched for a suffix.
_NEAR: Final = 64
# A suffix that begins this near to the searched part's begin may be longer, or look at what is before it.
_SPARE: Final = 24

Search = Callable[[str], "re.Match[str] | None"]


def bound_affix_searches(tokenizer: Any) -> None:
    """Replaces the searches of a spaCy tokenizer; one whose rules are of another kind stays as it is."""
    prefix, suffix = (
        getattr(getattr(tokenizer, name, None), "__self__", None)
        for name in ("prefix_search", "suffix_search")
    )
    if isinstance(prefix, re.Pattern) and _all_begin(prefix.pattern):
        tokenizer.prefix_search = prefix.match
    if isinstance(suffix, re.Pattern):
        tokenizer.suffix_search = _at_the_end(suffix.search)


def _all_begin(pattern: str) -> bool:
    """Whether every alternative holds to the begin of the word, as `spacy.util.compile_prefix_regex` writes them."""
    depth, in_class, escaped, fresh = 0, False, False, True
    for character in pattern:
        if fresh and character != "^":
            return False
        fresh = False
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif in_class:
            in_class = character != "]"
        elif character == "[":
            in_class = True
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == "|" and depth == 0:
            fresh = True
    return not fresh


def _at_the_end(search: Search) -> Search:
    """The same search for a pattern that ends with its word; the tokenizer asks for the match's length alone."""

    def near(word: str) -> re.Match[str] | None:
        if len(word) <= _NEAR:
            return search(word)
        found = search(word[-_NEAR:])
        return search(word) if found is not None and found.start() < _SPARE else found

    return near


_LENGTH: Final = struct.Struct(">I")

# Factories whose results a statistical `ner` does not read. A parser, senter or sentencizer is none of
# them: ner begins no entity that would cross the sentence borders they set.
_DROPPABLE: Final = frozenset(
    {"tagger", "morphologizer", "lemmatizer", "trainable_lemmatizer", "attribute_ruler"}
)
_UNDERSTOOD: Final = _DROPPABLE | {"tok2vec", "parser", "senter", "sentencizer", "ner", "beam_ner"}
# Factories whose results at a place depend on the words around it, so that a long text may be read in
# parts.
_LOCAL: Final = _UNDERSTOOD | {"entity_ruler", "span_ruler"}
# Parts of networks' names in config.cfg that see farther.
_FAR_SIGHTED: Final = ("transformer", "BiLSTM")
_ATTRIBUTES_THAT_NER_READS: Final = ("SENT_START", "IS_SENT_START", "ENT_")


@dataclass(frozen=True, slots=True)
class Ready:
    """What a loaded pipeline says of itself: its entity labels, its limit in characters, spaCy's version.

    local: whether what it finds at a place depends on the words around it alone.
    """

    labels: list[str]
    max_length: int
    spacy: str
    local: bool


@dataclass(frozen=True, slots=True)
class Passage:
    """What one request asks of one text or a part of it.

    text: to be read. start, end: what counts of it, in its code points; the rest is there for context.
    counted_only: only its tokens are wanted.
    """

    text: str
    start: int
    end: int
    counted_only: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to one passage: what begins in the part that counts.

    entities: (start, end, label) in code points of the passage's text. tokens: how many, as spaCy counts.
    """

    entities: list[tuple[int, int, str]]
    tokens: int


def write_frame(stream: IO[bytes], message: dict[str, Any]) -> None:
    """One frame out. Raises BrokenPipeError when nobody reads any more."""
    body = json.dumps(message, ensure_ascii=False).encode()
    stream.write(_LENGTH.pack(len(body)) + body)
    stream.flush()


def read_frame(stream: IO[bytes]) -> dict[str, Any] | None:
    """One frame in; None when the other side has gone, also in the middle of a frame."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    body = stream.read(length)
    if len(body) < length:
        return None
    message: dict[str, Any] = json.loads(body)
    return message


def needless_components(config: dict[str, Any], attribute_ruler_is_harmless: bool) -> list[str]:
    """Names of the components that can be left out with the same entities as the whole pipeline's.

    config: the pipeline's config.cfg. Empty when the pipeline holds a component that is not understood, such as an
    entity_ruler whose patterns may ask for tags.
    """
    components: dict[str, dict[str, Any]] = config.get("components", {})
    disabled = set(config["nlp"].get("disabled", []))
    factories = {
        name: component.get("factory") for name, component in components.items() if name not in disabled
    }
    if not set(factories.values()) <= _UNDERSTOOD:
        return []
    if "attribute_ruler" in factories.values() and not attribute_ruler_is_harmless:
        return []
    return [name for name, factory in factories.items() if factory in _DROPPABLE]


def main(argv: Sequence[str]) -> int:
    """Loads the pipeline in the folder argv[0] and serves it until the standard input ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(
            number, signal.SIG_IGN
        )  # a drain needs answers; the end of the worker ends this process
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints goes to the log, not between the frames
    requests: SimpleQueue[dict[str, Any]] = SimpleQueue()
    threading.Thread(target=_receive, args=(requests,), daemon=True).start()
    folder = Path(argv[0])
    try:
        nlp = _load(folder)
    except Exception as error:  # noqa: BLE001  # every way of failing is one answer, with the cause for the worker's log
        write_frame(answers, {"unusable": _explain(error)})
        return 1
    write_frame(answers, {"ready": asdict(_ready(nlp))})
    while True:
        request = requests.get()
        try:
            passages = [Passage(**passage) for passage in request["passages"]]
            answer: dict[str, Any] = {"found": [asdict(found) for found in _recognise(nlp, passages)]}
        except Exception as error:  # noqa: BLE001  # one text's failure must not end the process; the kind alone, never the text
            answer = {"error": type(error).__name__}
        try:
            write_frame(answers, answer)
        except BrokenPipeError:
            return 0


def _receive(requests: SimpleQueue[dict[str, Any]]) -> None:
    """Passes the frames on. Their end is the end of the worker, however it ended: then nobody wants what is being
    loaded or computed, and this process ends in the midst of it.
    """
    with os.fdopen(os.dup(0), "rb") as incoming:
        while (request := read_frame(incoming)) is not None:
            requests.put(request)
    os._exit(0)


def _load(folder: Path) -> Any:
    if not (folder / "config.cfg").is_file():
        raise FileNotFoundError(f"{folder / 'config.cfg'} is missing")
    if "transformer" not in (folder / "config.cfg").read_text(encoding="utf-8"):
        sys.modules["torch"] = None  # type: ignore[assignment]  # thinc imports torch where it can: 200 MB unused
    from spacy import about
    from spacy import load as load_pipeline
    from spacy.util import is_compatible_version, load_config, load_meta

    wanted = load_meta(folder / "meta.json").get("spacy_version", "")
    if is_compatible_version(about.__version__, wanted) is False:
        raise _VersionMismatch(
            f"the package is made for spaCy {wanted}, and this is spaCy {about.__version__}"
        )
    exclude = needless_components(load_config(folder / "config.cfg"), _attribute_ruler_is_harmless(folder))
    nlp = load_pipeline(folder, exclude=exclude)
    bound_affix_searches(nlp.tokenizer)
    if not _entity_pipes(nlp):
        raise ValueError("the pipeline has no component that finds named entities")
    return nlp


class _VersionMismatch(ValueError):
    pass


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
    """Whether no rule of the attribute ruler sets sentence borders or entities."""
    import srsly  # type: ignore[import-untyped]  # it has no types

    patterns = folder / "attribute_ruler" / "patterns"
    if not patterns.is_file():
        return True
    names = {str(name) for rule in srsly.read_msgpack(patterns) for name in rule["attrs"]}
    return not any(name.startswith(_ATTRIBUTES_THAT_NER_READS) for name in names)


def _entity_pipes(nlp: Any) -> list[tuple[str, Any]]:
    """The components that assign `doc.ents`."""
    return [(name, pipe) for name, pipe in nlp.pipeline if "doc.ents" in nlp.get_pipe_meta(name).assigns]


def _ready(nlp: Any) -> Ready:
    from spacy import about

    labels = {str(label) for _, pipe in _entity_pipes(nlp) for label in getattr(pipe, "labels", ())}
    factories = {nlp.get_pipe_meta(name).factory for name in nlp.pipe_names}
    written = nlp.config.to_str()
    local = factories <= _LOCAL and not any(name in written for name in _FAR_SIGHTED)
    return Ready(sorted(labels), nlp.max_length, about.__version__, local)


def _recognise(nlp: Any, passages: list[Passage]) -> list[Found]:
    zone = nlp.memory_zone() if hasattr(nlp, "memory_zone") else nullcontext()
    with zone:  # spaCy keeps every new word it meets for ever; the zone lets go of them after the batch
        searched = [passage.text for passage in passages if not passage.counted_only]
        docs = nlp.pipe(searched, batch_size=len(passages))
        return [
            _found(passage, nlp.tokenizer(passage.text) if passage.counted_only else next(docs))
            for passage in passages
        ]


def _found(passage: Passage, doc: Any) -> Found:
    return Found(
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
    os._exit(status)  # not by way of the interpreter's end: a thread may be reading
