"""The tokens and sentences of a `Syntax` result."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a number, a punctuation mark or white space. Fields of layers that were not requested are empty.

    Attributes:
        text: the characters.
        start, end: its position in the text, in the unit of `Syntax.offsets`.
        space_after: whether a space follows that belongs to no token.
        lemma: the base form.
        universal_part_of_speech: such as NOUN; SPACE for white space.
        fine_part_of_speech: in the model's own scheme, STTS for German.
        morphology: features in the form of CoNLL-U: `Case=Nom|Number=Sing`.
        head: index of the head in `Syntax.tokens`, its own for the root of a sentence; None if not requested.
        dependency_label: the relation to the head, in the model's scheme.
        entity_label: label of the entity that it is a part of; empty for other tokens.
        entity_begins: whether it is the first token of an entity.
    """

    text: str
    start: int
    end: int
    space_after: bool
    lemma: str = ""
    universal_part_of_speech: str = ""
    fine_part_of_speech: str = ""
    morphology: str = ""
    head: int | None = None
    dependency_label: str = ""
    entity_label: str = ""
    entity_begins: bool = False


@dataclass(frozen=True, slots=True)
class TokenRange:
    """A sentence: its position in the text, its first token in `Syntax.tokens`, and the number of its tokens."""

    start: int
    end: int
    first_token: int
    token_count: int
