"""Syntax of the corpus by simple rules: what the small pipeline's tagger, parser and lemmatizer are trained on.

The rules know the words of the templates and guess the rest by capitals and endings. The analysis need not be right,
but every token has a tag, features, a lemma and a head, and every sentence has one root.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from spacy.tokens import Doc

_ENDS: Final = frozenset(".!?")
_DETERMINERS: Final = frozenset(
    [
        "der",
        "die",
        "das",
        "den",
        "dem",
        "des",
        "ein",
        "eine",
        "einen",
        "einem",
        "einer",
        "eines",
        "kein",
        "keine",
        "keinen",
        "keinem",
        "keiner",
        "keines",
        "mein",
        "meine",
        "meinen",
        "meinem",
        "meiner",
        "unser",
        "unsere",
        "unseren",
        "unserem",
        "unserer",
    ]
)
_PRONOUNS: Final = frozenset(
    [
        "ich",
        "wir",
        "es",
        "man",
        "mir",
        "mich",
        "uns",
        "du",
        "sie",
        "er",
        "ihr",
        "ihm",
        "ihn",
        "sich",
        "alle",
        "niemand",
    ]
)
_PREPOSITIONS: Final = frozenset(
    [
        "in",
        "im",
        "am",
        "an",
        "auf",
        "aus",
        "bei",
        "beim",
        "von",
        "vom",
        "mit",
        "zu",
        "zur",
        "zum",
        "für",
        "seit",
        "vor",
        "über",
        "um",
        "nach",
        "bis",
        "durch",
        "ohne",
        "gegen",
    ]
)
_CONJUNCTIONS: Final = frozenset(["und", "oder", "aber", "denn", "sondern"])
_SUBJUNCTIONS: Final = frozenset(["dass", "weil", "wenn", "als", "wie", "ob"])
_VERBS: Final[Mapping[str, str]] = {
    "ist": "sein", "war": "sein", "sind": "sein", "waren": "sein", "bin": "sein",
    "hat": "haben", "habe": "haben", "haben": "haben", "hatte": "haben", "hatten": "haben",
    "wurde": "werden", "wurden": "werden", "wird": "werden", "werden": "werden",
    "gibt": "geben", "geht": "gehen", "ging": "gehen", "finde": "finden", "fand": "finden",
    "arbeitet": "arbeiten", "arbeite": "arbeiten", "wohnt": "wohnen", "wohne": "wohnen",
    "lebe": "leben", "lebt": "leben",
    "bekommen": "bekommen", "bekam": "bekommen", "freut": "freuen", "ärgert": "ärgern", "bereitet": "bereiten",
    "kommt": "kommen", "kam": "kommen", "macht": "machen", "lief": "laufen", "sieht": "sehen", "sprach": "sprechen",
}  # fmt: skip
_PAST: Final = frozenset(
    ["war", "waren", "hatte", "hatten", "wurde", "wurden", "ging", "fand", "bekam", "kam", "lief", "sprach"]
)
_ADJECTIVE_ENDINGS: Final = ("en", "er", "es", "em", "e")


@dataclass(slots=True)
class _Token:
    """A token under analysis; `head` is the position of its head in the text."""

    text: str
    tag: str
    pos: str
    morph: str
    lemma: str
    head: int = -1
    label: str = "dep"


def annotate(doc: Doc, entities: Sequence[tuple[int, int, str]]) -> dict[str, Any]:
    """Return the annotations of a tokenized text, as `spacy.training.Example.from_dict` takes them."""
    tokens = [_token(doc, number, entities) for number in range(len(doc))]
    starts = [0] + [
        number
        for number in range(1, len(tokens))
        if tokens[number - 1].text in _ENDS and tokens[number].text not in _ENDS
    ]
    for start, end in zip(starts, [*starts[1:], len(tokens)], strict=True):
        _attach(tokens, start, end)
    return {
        "words": [token.text for token in tokens],
        "spaces": [bool(token.whitespace_) for token in doc],
        "tags": [token.tag for token in tokens],
        "pos": [token.pos for token in tokens],
        "morphs": [token.morph for token in tokens],
        "lemmas": [token.lemma for token in tokens],
        "heads": [token.head for token in tokens],
        "deps": [token.label for token in tokens],
        "sent_starts": [number in starts for number in range(len(tokens))],
    }


def _token(doc: Doc, number: int, entities: Sequence[tuple[int, int, str]]) -> _Token:
    token = doc[number]
    word, lower = token.text, token.lower_
    if any(start <= token.idx < end for start, end, _ in entities) and word[0].isupper():
        return _Token(word, "NE", "PROPN", "Number=Sing", word)
    if token.is_punct or not any(character.isalnum() for character in word):
        return _Token(word, "$." if word in _ENDS else "$(", "PUNCT", "", word)
    if lower in _VERBS:
        tense = "Past" if lower in _PAST else "Pres"
        features = f"Mood=Ind|Number=Sing|Tense={tense}|VerbForm=Fin"
        return _Token(word, "VVFIN", "VERB", features, _VERBS[lower])
    if lower in _DETERMINERS:
        definite = lower[0] == "d"
        features = "Definite=Def|PronType=Art" if definite else "Definite=Ind|PronType=Art"
        lemma = "der" if definite else "ein" if lower.startswith("ein") else lower
        return _Token(word, "ART", "DET", features, lemma)
    for words, tag, pos, features in (
        (_PRONOUNS, "PPER", "PRON", "PronType=Prs"),
        (_PREPOSITIONS, "APPR", "ADP", ""),
        (_CONJUNCTIONS, "KON", "CCONJ", ""),
        (_SUBJUNCTIONS, "KOUS", "SCONJ", ""),
    ):
        if lower in words:
            return _Token(word, tag, pos, features, lower)
    if any(character.isdigit() for character in word):
        return _Token(word, "CARD", "NUM", "NumType=Card", word)
    if word[0].isupper() and number > 0:
        plural = lower.endswith(("en", "se", "te"))
        lemma = word.removesuffix("en") + "e" if word.endswith("ungen") else word
        return _Token(word, "NN", "NOUN", f"Number={'Plur' if plural else 'Sing'}", lemma)
    lemma = next(
        (lower.removesuffix(end) for end in _ADJECTIVE_ENDINGS if len(lower) > 5 and lower.endswith(end)),
        lower,
    )
    if lemma != lower:
        return _Token(word, "ADJA", "ADJ", "Degree=Pos", lemma)
    return _Token(word, "ADV", "ADV", "", lower)


def _attach(tokens: Sequence[_Token], start: int, end: int) -> None:
    """Set the heads of one sentence: determiners, adpositions and adjectives to the next noun, the rest to the root."""
    numbers = range(start, end)
    root = next((number for number in numbers if tokens[number].pos == "VERB"), start)
    for number in numbers:
        token = tokens[number]
        nominal = None
        for after in range(number + 1, end):
            if tokens[after].pos in ("NOUN", "PROPN"):
                nominal = after
                break
            if tokens[after].pos not in ("DET", "ADJ"):
                break
        crosses = nominal is not None and number < root < nominal
        if number == root:
            token.head, token.label = number, "ROOT"
        elif token.pos in ("DET", "ADP", "ADJ") and nominal is not None and nominal != root and not crosses:
            token.head = nominal
            token.label = {"DET": "nk", "ADP": "ac", "ADJ": "nk"}[token.pos]
        else:
            token.head = root
            token.label = _label(token, before=number < root)


def _label(token: _Token, *, before: bool) -> str:
    if token.pos in ("NOUN", "PROPN", "PRON"):
        return "sb" if before else "oa"
    return {"PUNCT": "punct", "CCONJ": "cd", "SCONJ": "cp", "ADP": "ac", "DET": "nk"}.get(token.pos, "mo")
