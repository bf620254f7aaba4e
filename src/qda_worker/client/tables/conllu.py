"""Syntax as CoNLL-U, the format of Universal Dependencies: https://universaldependencies.org/format.html.

Each text is a document, each of its sentences a block of ten columns. What the format asks for and a pipeline of spaCy
does not give:

- White space is no word. Tokens of it are left out, `SpacesAfter` and `SpacesBefore` (of UDPipe) keep it, and their
  dependents depend on the next head that is a word.
- A sentence has one root, with the relation `root`. A second one depends on the first.
- `# text` has the words with single spaces, as SpaceAfter=No says; `TokenRange` (of UDPipe) has the position in the
  text.

Without sentences, a text is one block, and heads are left out. A text with an error or without a word has no block.
Labels are those of the model: German packages have the relations of TIGER, not those of Universal Dependencies.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from qda_worker.client.tables.records import Record, provenances

_NO_VALUE: Final = "_"
# Relation of a word that depends on another root, or that was a root beside the first one.
_DEPENDS: Final = "dep"
_ESCAPES: Final[Mapping[str, str]] = {
    " ": "\\s", "\t": "\\t", "\n": "\\n", "\r": "\\r", "|": "\\p", "\\": "\\\\",
}  # fmt: skip

Token = Mapping[str, Any]


class ConlluWriter:
    """Writes records as CoNLL-U, with ids of sentences that are unique in the output."""

    def __init__(self) -> None:
        """Begin without a document."""
        self._counts: Counter[str] = Counter()
        self._given: set[str] = set()

    def blocks(self, record: Record) -> Iterator[str]:
        """Yield the sentences of a record, each with the empty line after it."""
        syntax, models = _syntax_of(record)
        tokens: Sequence[Token] = syntax.get("tokens") or ()
        sentences = syntax.get("sentences") or ()
        if any(not token["text"].isspace() for token in tokens):
            name = self._name(str(record.get("id", "")))
            head = [f"# newdoc id = {name}", *models]
            ranges = [(each["first_token"], each["token_count"]) for each in sentences]
            number = 0
            for first, count in ranges or [(0, len(tokens))]:
                rows = list(
                    _rows(tokens, first, first + count, with_heads=bool(ranges), begins_text=not number)
                )
                if not rows:
                    continue  # white space only
                number += 1
                comments = [f"# sent_id = {name}-{number}", f"# text = {_text(rows)}"]
                yield "\n".join([*head, *comments, *("\t".join(row) for row in rows), "", ""])
                head = []

    def _name(self, identifier: str) -> str:
        """Return the id of a document, without the characters that ids of sentences may not have."""
        name = "".join("-" if each.isspace() or each == "/" else each for each in identifier) or "text"
        unique = name
        while unique in self._given:
            self._counts[name] += 1
            unique = f"{name}.{self._counts[name] + 1}"
        self._given.add(unique)
        return unique


def _syntax_of(record: Record) -> tuple[Mapping[str, Any], list[str]]:
    """Return what has the tokens of a record, and comments with their models; an analysis has others beside them."""
    syntax, models = record, provenances(record)
    if (record.get("options") or {}).get("command") == "analyze":
        syntax = record.get("syntax") or {}
        model = (record.get("provenance") or {}).get("syntax")
        models = [model] if model else []
    return syntax, [f"# model = {each.get('source', '')} {each.get('revision', '')}" for each in models]


def _rows(
    tokens: Sequence[Token], start: int, end: int, *, with_heads: bool, begins_text: bool
) -> Iterator[list[str]]:
    """Yield the columns of each word of a sentence.

    Args:
        tokens: those of the text.
        start, end: the sentence.
        with_heads: whether the tokens have heads inside of sentences.
        begins_text: whether no word is before it.
    """
    words = [number for number in range(start, end) if not tokens[number]["text"].isspace()]
    ids = {number: place for place, number in enumerate(words, start=1)}
    heads = [_head(tokens, number, ids) if with_heads else None for number in words]
    root = next((number for number, head in zip(words, heads, strict=True) if head == 0), None)
    for position, (number, head) in enumerate(zip(words, heads, strict=True)):
        token = tokens[number]
        shown_head, relation = _dependency(token, head, is_root=number == root, root_id=ids.get(root or 0, 0))
        following = words[position + 1] if position + 1 < len(words) else _sentence_end(tokens, end)
        yield [
            str(ids[number]),
            _value(token["text"]),
            _value(token.get("lemma")),
            _value(token.get("universal_part_of_speech")),
            _value(token.get("fine_part_of_speech")),
            _features(token.get("morphology") or ""),
            shown_head,
            relation,
            _NO_VALUE,
            _misc(tokens, number, following, begins_text=begins_text and not position),
        ]


def _dependency(token: Token, head: int | None, *, is_root: bool, root_id: int) -> tuple[str, str]:
    """Return the columns HEAD and DEPREL of a word.

    Args:
        token: the word.
        head: the id of its head, 0 for a root; None if there are no heads.
        is_root: whether it is the root of its sentence.
        root_id: the id of that root.
    """
    relation = _value(token.get("dependency_label"))
    if head is None:
        return _NO_VALUE, _NO_VALUE
    if is_root:
        return "0", "root"
    if head == 0 or relation.lower() in ("root", _NO_VALUE):
        return str(head or root_id), _DEPENDS
    return str(head), relation


def _head(tokens: Sequence[Token], number: int, ids: Mapping[int, int]) -> int | None:
    """Return the id of the head, over white space; 0 for the root, None if there are no heads."""
    head = tokens[number].get("head")
    seen = {number}
    while head is not None and head not in ids and head not in seen:
        seen.add(head)
        head = tokens[head].get("head") if 0 <= head < len(tokens) else number
    if head is None:
        return None
    return 0 if head in seen else ids[head]


def _sentence_end(tokens: Sequence[Token], end: int) -> int:
    """Return the first word after a sentence, or the number of tokens."""
    while end < len(tokens) and tokens[end]["text"].isspace():
        end += 1
    return end


def _misc(tokens: Sequence[Token], number: int, following: int, *, begins_text: bool) -> str:
    """Return the last column of a word: entity, white space around it, position.

    Args:
        tokens: those of the text.
        number: the word.
        following: the next word, or the number of tokens.
        begins_text: whether it is the first word of the text.
    """
    token = tokens[number]
    after = " " * bool(token["space_after"]) + _space(tokens, number + 1, following)
    parts = []
    if token.get("entity_label"):
        parts.append(f"NER={'B' if token.get('entity_begins') else 'I'}-{token['entity_label']}")
    if not after:
        parts.append("SpaceAfter=No")
    elif after != " ":
        parts.append(f"SpacesAfter={_escape(after)}")
    if begins_text and number:
        parts.append(f"SpacesBefore={_escape(_space(tokens, 0, number))}")
    parts.append(f"TokenRange={token['start']}:{token['end']}")
    return "|".join(parts)


def _space(tokens: Sequence[Token], start: int, end: int) -> str:
    return "".join(each["text"] + " " * bool(each["space_after"]) for each in tokens[start:end])


def _text(rows: Sequence[Sequence[str]]) -> str:
    """Return the words with a space after each, except where SpaceAfter=No stands."""
    parts = [row[1] + ("" if "SpaceAfter=No" in row[9].split("|") else " ") for row in rows]
    return "".join(parts).rstrip(" ")


def _features(text: str) -> str:
    """Return the features sorted by name, without regard to case."""
    parts = [part for part in text.split("|") if "=" in part]
    return "|".join(sorted(parts, key=str.lower)) or _NO_VALUE


def _value(text: object) -> str:
    """Return a column: characters that would end it or the line become spaces, inside of it only."""
    shown = str(text or "").strip()
    return "".join(" " if each.isspace() else each for each in shown) or _NO_VALUE


def _escape(space: str) -> str:
    return "".join(
        _ESCAPES.get(each, each if each.isprintable() else f"\\u{ord(each):04X}") for each in space
    )
