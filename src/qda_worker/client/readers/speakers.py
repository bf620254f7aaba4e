"""Find who speaks when in the blocks of a transcript: labels of speakers and time marks in the common conventions.

`I:`, `B1:`, `B2 :`, `Interviewerin:`, `Frau Müller:`, `Anna (00:01:02):`, `[Anna]:`, `I` and a tab, a name in bold
letters, a name and a time on a line of their own; `#00:01:23-4#`, `[00:01:23]`, `(01:23)`. A label must be of a known
form (a code or a role) or recur, because "Beispiel: so" begins like "Anna: so". What is recognized as one thing has one
definition: the forms of codes, roles and marks are those of the sentence rules (`qda_worker.sentences`).

All patterns are bounded or possessive, so that no input takes more than linear time.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, takewhile
from typing import Final

from qda_worker.client.readers.document import Block
from qda_worker.sentences.german_words import word_set
from qda_worker.sentences.transcription_marks import TIME_MARK, is_label_alone, is_mark

_MARK: Final = rf"(?:{TIME_MARK}|\d{{1,2}}:\d{{2}}:\d{{2}}[-.,]\d{{1,3}}(?!\d))"
_WORD: Final = r"[A-ZÄÖÜ\d][\w.'’+/&-]{0,30}"
_NAME: Final = (
    r"(?:[A-ZÄÖÜ][\w.'’+/&-]{0,30}"
    rf"(?: (?:(?:von|van|de|der|zu|und) ){{0,2}}{_WORD}){{0,3}}|[ibep]\d{{0,2}})"
)
_ASIDE: Final = rf"(?:[ \t]{{0,3}}(?:{TIME_MARK}|\([^()\n]{{1,30}}\)|\[[^\[\]\n]{{1,30}}\]))"
# Number of a paragraph or line, which QDA programs print before each, or the date in an exported chat; and a time.
_BEFORE: Final = (
    r"(?:\d{1,5}[.)]?[ \t]{1,4}|\[?\d{1,2}\.\d{1,2}\.\d{2,4},? \d{1,2}:\d{2}(?::\d{2})?\]?(?: -)? )?"
    rf"(?P<mark>(?:(?:{_MARK}|\d{{1,3}}:\d{{2}}(?=\t))[ \t]{{0,8}}){{0,2}})"
)
_COLON_LABEL: Final = re.compile(
    rf"{_BEFORE}(?:\*\*|__|[\[<(])?(?P<name>{_NAME})(?:\*\*|__|[\])>])?(?P<aside>{_ASIDE}?)[ \t\u00a0]?:"
    r"(?:\*\*|__)?(?![/\d])"
)
_TAB_LABEL: Final = re.compile(rf"{_BEFORE}(?P<name>{_NAME})(?P<aside>{_ASIDE}?)[ ]?\t+(?=\S)")
# "[Anna] Guten Tag", but not "[lacht] Guten Tag".
_BRACKET_LABEL: Final = re.compile(
    rf"{_BEFORE}[\[<](?P<name>[A-Za-zÄÖÜ][\w .'’-]{{0,30}})(?P<aside>)[\]>][ \t]{{1,8}}(?=\S)"
)
# "Anna Müller   0:05" on a line of its own, as programs for meetings write it.
_TIMED_LABEL: Final = re.compile(
    rf"(?P<mark>)(?P<name>{_NAME})[ \t]{{1,8}}(?P<aside>{TIME_MARK}|\(?\d{{1,2}}:\d{{2}}\)?)[ \t]{{0,3}}(?=\n|\Z)"
)
# "Sprecher 1", or "00:00:03 Anna Müller", on a line of its own.
_LABEL_ALONE: Final = re.compile(rf"{_BEFORE}(?P<name>{_NAME})(?P<aside>)[ \t]{{0,3}}(?=\n|\Z)")
_BOLD_NAME: Final = re.compile(
    rf"(?P<mark>(?:{TIME_MARK}[ \t]{{0,8}})?)(?P<name>{_NAME})(?P<aside>{_ASIDE}?)[ \t]*\Z"
)
_LEADING_MARK: Final = re.compile(rf"(?:{_MARK}[ \t:]{{0,8}}){{1,2}}")
_TRAILING_MARK: Final = re.compile(rf"{TIME_MARK}\Z")
# Each form of a label, and a character without which there is none.
_LABELS: Final = ((_COLON_LABEL, ":"), (_TAB_LABEL, "\t"), (_BRACKET_LABEL, " "), (_TIMED_LABEL, ":"))
# Longest label with what is before and behind its name, in code points.
_LABEL_REACH: Final = 300
_LABEL_ALONE_REACH: Final = 60
_LONGEST_CODE: Final = 4
# Longest time mark, in code points.
_MARK_REACH: Final = 40
_TIME: Final = r"(\d{1,3}:)?(\d{1,2}):(\d{2})([-.,]\d{1,3})?"
_RANGE: Final = re.compile(rf"\D?{_TIME}\s?[-–]\s?{_TIME}\D?")
_ANY_TIME: Final = re.compile(_TIME)

# Codes of speakers that are labels wherever they stand.
_CODE: Final = re.compile(
    r"(?:[A-ZÄÖÜ]\.?|[A-ZÄÖÜ]{1,4}[ _.-]?\d{1,3}|I[NPV]|TN|BP|FR|INT\.?|BEF\.?|MOD\.?|SPEAKER[ _]?\d{1,3}"
    r"|Interviewte[rn]?|Interviewpartner(?:in)?|Erzähler(?:in)?|Klient(?:in)?)(?: ?\d{1,3})?\Z"
)
# "B1+B2"
_JOINED: Final = re.compile(r"[+/&]")
# An abbreviation before a colon that is no code of a speaker ("PS:"); other codes of letters must recur.
_LETTERS: Final = re.compile(r"[A-ZÄÖÜ]{2,4}\Z")
# Words before a colon in notes and in the head of a transcript.
_NO_SPEAKERS: Final = word_set("""
    achtung adresse alter anlage anmerkung anmerkungen antwortmöglichkeiten audio aufgabe aufnahme aufzeichnung
    beginn beispiel beispiele bemerkung bemerkungen beruf betreff codierung contra datei dateiname datum dauer ende
    ergebnis fall fazit fragebogen geburtsdatum geburtsjahr geschlecht gesamt grund hinweis idee info inhalt
    interview kapitel kategorie kommentar kontakt kurz länge legende memo nachteil nachteile name notiz nummer ort
    pro problem projekt punkt quelle rolle seite sprache stand stichwort telefon tel thema themen tipp titel
    transkript transkription typ uhrzeit und unterschied vorteil vorteile wichtig zeit ziel zitat zusammenfassung
    zum
""")
_FIRST_OF_MARK: Final = frozenset("#[({<0123456789")

# Share of the blocks that must have a label if no label is of a known form.
_LEAST_SHARE: Final = 0.2
# Blocks with a time mark, and their share, from which on a text without labels is a transcript.
_LEAST_TIMED: Final = 3
_LEAST_TIMED_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Utterance:
    """What is said in a block.

    Attributes:
        block: the block.
        start: where in its text the speech begins, behind label and marks.
        end: where it ends, before marks.
        speaker: who begins to speak with it; None if it has no label.
        begins: the time before it, in seconds.
        ends: the time behind it.
    """

    block: Block
    start: int
    end: int
    speaker: str | None = None
    begins: float | None = None
    ends: float | None = None


@dataclass(frozen=True, slots=True)
class _Label:
    name: str
    end: int
    begins: float | None
    ends: float | None
    is_bare: bool = False  # a name without a colon, on a line of its own


def find_utterances(blocks: Sequence[Block]) -> list[Utterance] | None:
    """Return what is said in each block; None if the blocks are no transcript."""
    found = [() if block.is_note else _possible_labels(block) for block in blocks]
    for at, labels in enumerate(found):
        if any(label.is_bare for label in labels) and not _has_speech(blocks, found, at):
            found[at] = [label for label in labels if not label.is_bare]  # [00:00:05] Ja.
    names = _speakers(found, len(blocks))
    if not names and not _is_timed(blocks):
        return None
    return [
        _utterance(block, next((label for label in labels if label.name in names), None))
        for block, labels in zip(blocks, found, strict=True)
    ]


def with_labelled_speakers(blocks: Sequence[Block]) -> list[Block]:
    """Return pieces of speech with the speakers that labels at their beginning say; one without a label goes on.

    Pieces in which labels name fewer than two speakers are returned as they are.
    """
    utterances = find_utterances(blocks)
    if utterances is None or not any(each.speaker for each in utterances):
        return list(blocks)
    labelled = []
    speaker: str | None = None
    for each in utterances:
        speaker = each.speaker or speaker
        text = each.block.text[each.start : each.end]
        if text:
            labelled.append(replace(each.block, text=text, speaker=speaker))
    counts = Counter(each.speaker for each in labelled if each.speaker)
    return labelled if len(counts) > 1 else list(blocks)


def parse_seconds(mark: str) -> tuple[float | None, float | None]:
    """Return the seconds of a time mark, and of its end if it has one: `[00:01:20 - 00:02:00]`."""
    if span := _RANGE.fullmatch(mark.strip()):
        return _seconds(span.groups()[:4]), _seconds(span.groups()[4:])
    time = _ANY_TIME.search(mark)
    return (_seconds(time.groups()) if time else None), None


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = parts
    whole = int((hours or "0").rstrip(":")) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return whole + (int(fraction[1:]) / 10 ** (len(fraction) - 1) if fraction else 0)


def _possible_labels(block: Block) -> Sequence[_Label]:
    """Return what may be the label at the beginning of a block, in each convention."""
    text = block.text
    labels = []
    if _may_be_alone(text) and (match := _LABEL_ALONE.match(text)):
        is_role = len(match["name"]) > _LONGEST_CODE and _is_known(match["name"])
        if match["mark"] or (is_role and match["name"][-1].isdecimal()):
            labels.append(replace(_label(match, match.end()), is_bare=True))
    head = text[:_LABEL_REACH]
    if not (":" in head or "\t" in head or head[0] in "[<" or block.bold):
        return labels  # by far the most common case
    for pattern, needed in _LABELS:
        match = pattern.match(text) if needed in head else None
        if match is None or _is_mark(match["name"]):
            continue
        # "Kolleg:innen"; a line with a tab is a label and what is said, or any other table.
        doubtful = (pattern is _COLON_LABEL and _is_clause(text, match)) or (
            pattern is _TAB_LABEL and block.is_line
        )
        if not doubtful or _is_known(match["name"]):
            labels.append(_label(match, match.end()))
    bold = _BOLD_NAME.match(block.text[: block.bold].rstrip(" \t:")) if block.bold else None
    if bold:
        end = block.bold
        while end < len(block.text) and block.text[end] in " \t:":
            end += 1
        labels.append(_label(bold, end))
    return labels


def _may_be_alone(text: str) -> bool:
    """Return whether the first line may be a label alone: it has a mark before it, or a number behind it."""
    line = text.partition("\n")[0]
    return len(line) <= _LABEL_ALONE_REACH and (line[:1] in _FIRST_OF_MARK or line.rstrip()[-1:].isdecimal())


def _has_speech(blocks: Sequence[Block], found: Sequence[Sequence[_Label]], at: int) -> bool:
    """Return whether speech follows a name that is alone on its line: in the block, or in the next one."""
    if "\n" in blocks[at].text:
        return True
    return at + 1 < len(blocks) and not found[at + 1] and not _LEADING_MARK.match(blocks[at + 1].text)


def _is_clause(text: str, match: re.Match[str]) -> bool:
    """Return whether no blank follows the colon, as within a word."""
    following = text[match.end() : match.end() + 1]
    return bool(following) and not following.isspace()


def _label(match: re.Match[str], end: int) -> _Label:
    begins, ends = parse_seconds(match["mark"]) if match["mark"] else (None, None)
    if begins is None:
        begins, ends = parse_seconds(match["aside"])
    return _Label(match["name"].strip(), end, begins, ends)


# The few names of a transcript are asked for at each of its turns.
_is_mark: Final = lru_cache(maxsize=1024)(is_mark)


@lru_cache(maxsize=1024)
def _is_known(name: str) -> bool:
    """Return whether a label is a code or a role, and not a word that may stand before any colon."""
    if all(_CODE.match(part.strip()) for part in _JOINED.split(name)):
        return True
    return is_label_alone(f"{name}:") and not _LETTERS.match(name)


def _speakers(found: Sequence[Sequence[_Label]], total: int) -> frozenset[str]:
    """Return the labels that are speakers; none if the blocks are no transcript."""
    names = [{label.name for label in labels} for labels in found]
    counts = Counter(chain.from_iterable(names))
    repeated = {name for name, count in counts.items() if count > 1}
    if len(repeated) > 1:
        # What comes once before all others is in the head of the transcript: "Interviewerin: Dr. Weber".
        for name in set(chain.from_iterable(takewhile(repeated.isdisjoint, names))):
            del counts[name]
    known = {name for name in counts if _is_known(name)}
    recurring = {
        name for name, count in counts.items() if count > 1 and name.split()[0].lower() not in _NO_SPEAKERS
    }
    every = known | recurring
    turns_of_known = sum(counts[name] for name in known)
    if turns_of_known > 2 or (turns_of_known > 1 and len(every) > 1):
        return frozenset(every)
    turns = sum(counts[name] for name in recurring)
    if len(recurring) > 1 and turns > 3 and turns >= _LEAST_SHARE * total:
        return frozenset(recurring)
    return frozenset()


def _is_timed(blocks: Sequence[Block]) -> bool:
    timed = sum(
        (block.text[0] in _FIRST_OF_MARK and _LEADING_MARK.match(block.text) is not None)
        or _trailing(block.text) is not None
        for block in blocks
    )
    return timed >= _LEAST_TIMED and timed >= _LEAST_TIMED_SHARE * len(blocks)


def _trailing(text: str) -> re.Match[str] | None:
    """Return the time mark at the end of a text; a time without brackets may be what is said."""
    if not text or text[-1] not in "#])}>":
        return None
    offset = max(0, len(text) - _MARK_REACH)
    match = next(
        (each for each in re.finditer(TIME_MARK, text[offset:]) if each.end() == len(text) - offset), None
    )
    return None if match is None or match[0][0].isdecimal() else match


def _utterance(block: Block, label: _Label | None) -> Utterance:
    text = block.text
    start, begins, ends = (
        (0, block.begins, block.ends) if label is None else (label.end, label.begins, label.ends)
    )
    start = min(_skip_blanks(text, start), len(text))
    mark = _LEADING_MARK.match(text, start) if text[start : start + 1] in _FIRST_OF_MARK else None
    if mark:
        start = mark.end()
        if begins is None:
            begins, ends = parse_seconds(mark[0])
    end = len(text)
    # There may be many marks: only the end of the text is looked at for each.
    while end > start and (trailing := _trailing(text[max(start, end - _MARK_REACH) : end])):
        ends = parse_seconds(trailing[0])[0] if ends is None else ends
        end -= len(trailing[0])
        while end > start and text[end - 1].isspace():
            end -= 1
    start = min(_skip_blanks(text, start), end)
    return Utterance(block, start, end, label.name if label else block.speaker, begins, ends)


def _skip_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position
