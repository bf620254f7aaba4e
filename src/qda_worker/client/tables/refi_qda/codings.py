"""What is coded in a text: the sentiment, the entities and the speaker of a record. No I/O.

If the sentences of a text have sentiments, they are coded, and the whole text is not: two codings of the same words
would count twice in a program's tables.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from model_cache.errors import UsageError
from qda_worker.client.tables.layout import tasks_of
from qda_worker.client.tables.records import Record
from qda_worker.client.tables.refi_qda.codes import CodeKey, Group

# The user of codings that no model has made.
CLIENT_USER: Final = "qda-client"

_COMMANDS: Final = ("sentiment", "entities", "analyze")
_SENTIMENTS: Final = ("positive", "negative", "neutral")


@dataclass(frozen=True, slots=True)
class TextCoding:
    """A code on a part of a text.

    Attributes:
        start: where it begins in the text of the record, in code points.
        end: where it ends, exclusive.
        code: the code.
        user: name of the model that has applied it.
        note: what else is known, as the probabilities; may be empty.
    """

    start: int
    end: int
    code: CodeKey
    user: str
    note: str = ""


def require_codings(options: Mapping[str, Any]) -> None:
    """Check that results with these options have something to code.

    Raises:
        UsageError: when they do not.
    """
    command = options.get("command")
    tasks = tasks_of(options)
    if command not in _COMMANDS or (command == "analyze" and not {"sentiment", "entities"} & set(tasks)):
        raise UsageError(
            "a REFI-QDA file has codes, and vectors are none, nor are tokens",
            "write results of sentiment, entities or analyze to it",
        )


def record_codings(record: Record) -> Iterator[TextCoding]:
    """Yield the codings of a record, which may be none."""
    text = record.get("text") or ""
    if not text.strip():
        return
    whole = _without_blanks(text, 0, len(text))
    if record.get("speaker"):
        yield TextCoding(*whole, CodeKey(Group.SPEAKERS, str(record["speaker"])), CLIENT_USER)
    yield from _sentiments(record, text, whole)
    yield from _entities(record, text)


def model_user(provenance: Mapping[str, Any] | None) -> str:
    """Return the name of the user that stands for a model."""
    if not provenance:
        return CLIENT_USER
    return f"{provenance.get('model')} ({provenance.get('source')}@{str(provenance.get('revision'))[:12]})"


def _sentiments(record: Record, text: str, whole: tuple[int, int]) -> Iterator[TextCoding]:
    result = _result(record, "sentiment")
    if result is None or result.get("error") or result.get("label") not in _SENTIMENTS:
        return
    user = model_user(_provenance(record, "sentiment"))
    sentences = result.get("sentences") or ()
    if not sentences:
        yield TextCoding(*whole, _sentiment_code(result), user, _probabilities(result))
    convert = _positions(text, result.get("offsets"))
    for sentence in sentences:
        span = _without_blanks(text, convert(sentence["start"]), convert(sentence["end"]))
        if span[0] < span[1]:
            yield TextCoding(*span, _sentiment_code(sentence), user, _probabilities(sentence))


def _entities(record: Record, text: str) -> Iterator[TextCoding]:
    result = _result(record, "entities")
    if result is None or result.get("error"):
        return
    user = model_user(_provenance(record, "entities"))
    convert = _positions(text, result.get("offsets"))
    for entity in result.get("entities") or ():
        start, end = convert(entity["start"]), convert(entity["end"])
        if start < end:
            yield TextCoding(start, end, CodeKey(Group.ENTITIES, str(entity["label"])), user)


def _result(record: Record, task: str) -> Mapping[str, Any] | None:
    """Return the result of a task: a part of a record of `analyze`, else the record itself."""
    command = (record.get("options") or {}).get("command")
    if command == task:
        return record
    part = record.get(task) if command == "analyze" else None
    return part if isinstance(part, Mapping) else None


def _provenance(record: Record, task: str) -> Mapping[str, Any] | None:
    value = record.get("provenance")
    if not isinstance(value, Mapping):
        return None
    part = value.get(task) if "embeddings" in value else value
    return part if isinstance(part, Mapping) else None


def _sentiment_code(result: Mapping[str, Any]) -> CodeKey:
    return CodeKey(Group.SENTIMENT, str(result["label"]))


def _probabilities(result: Mapping[str, Any]) -> str:
    scores = result.get("probabilities") or {}
    return ", ".join(f"{name} {scores[name]:.3f}" for name in _SENTIMENTS if name in scores)


def _without_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the part without blanks at its ends."""
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), start + len(part.rstrip())


def _positions(text: str, unit: str | None) -> Callable[[int], int]:
    """Return a function that returns a position, given in a unit, in code points."""
    if unit not in ("utf-8", "utf-16") or text.isascii():
        return lambda position: position
    sizes = _utf8_size if unit == "utf-8" else _utf16_size
    positions: dict[int, int] = {}
    total = 0
    for index, char in enumerate(text):
        positions[total] = index
        total += sizes(char)
    positions[total] = len(text)
    return lambda position: positions.get(position, len(text))


def _utf8_size(char: str) -> int:
    return len(char.encode(errors="surrogatepass"))


def _utf16_size(char: str) -> int:
    return 2 if char > "\uffff" else 1
