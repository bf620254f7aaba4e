"""What transcripts, subtitles and chats hold besides sentences: pauses, notes, time marks, labels, cues, emoji.

A mark behind a sentence belongs to it, a mark at the beginning of a line to what follows, and one within a sentence
ends nothing. What consists of marks only is no sentence. Emoji are not marks in this sense, because they express
something, but they too belong to the sentence before them.

All patterns are bounded or possessive, so that no input takes more than linear time.
"""

import re
from typing import Final

from qda_worker.sentences.german_words import word_set

# Ranges of a character class. Check marks and arrows are left out: they are bullets.
EMOJI: Final = (
    "\u203c\u2049\u231a\u231b\u23f0-\u23f3\u2600-\u2604\u2609-\u260f\u2614-\u26ff"
    "\u2702\u2708-\u270d\u270f\u2728\u2744\u2753-\u2757\u2763-\u2767\u2b50\U0001f000-\U0001faff"
)
_JOINERS: Final = "\u200d\ufe0e\ufe0f\u20e3\u2640\u2642"
# Invisible characters: soft hyphen, zero-width spaces and joiners, marks of direction, byte order mark.
INVISIBLE: Final = "\u00ad\u200b-\u200f\u2060\ufeff"
# A smiley behind its first character, without letters around it.
_SMILEY_TAIL: Final = r"(?:['’]?[-o^]?[)(DPp|\\/3*]{1,8}(?!\w))"
SMILEY: Final = rf"(?:(?<![\w(])[:;=]{_SMILEY_TAIL}|(?<!\w)<3(?!\w)|\^\^|(?<!\w)[xX]D+(?!\w))"
EMOJI_RUN: Final = rf"[{EMOJI}][{EMOJI}{_JOINERS}]*+"
# Faces that are recognized only behind a sentence.
_FACE: Final = r"(?:-[._]+-|>[._]<|[oO]_[oO]|[tT]_[tT]|\\o/)(?!\w)"
_ANY_EMOJI: Final = re.compile(rf"(?=[{EMOJI}:;=<^xX])(?:[{EMOJI}]|{SMILEY})")

_TIME: Final = r"(?:\d{1,3}:)?\d{1,2}:\d{2}(?:[-.,:]\d{1,3})?"
TIME_MARK: Final = (
    rf"(?:#{_TIME}#?|\[{_TIME}(?:\s?[-–]\s?{_TIME})?\]|\({_TIME}\)|\{{{_TIME}\}}|<{_TIME}>"
    r"|\d{1,2}:\d{2}:\d{2}(?![\d:]))"
)
_FOOTNOTE: Final = r"(?:\[\d{1,4}(?:[,–-]\s?\d{1,4}){0,3}\]|[⁽¹²³⁰⁴-⁹]{1,5}[)⁾]?|[†‡])"
_MARKUP: Final = r"(?:</?[a-z][^<>\n]{0,40}>)"
# What the other one says meanwhile, between slashes.
_INTERJECTION: Final = r"(?://[^/\n]{1,80}//)"
# Brackets with at most 80 characters, doubled or not.
_BRACKET: Final = (
    r"(?:\(\([^()\n]{0,80}\)\)|\([^()\n]{0,80}\)|\[[^\[\]\n]{0,80}\]|\{[^{}\n]{0,80}\}|<[^<>\n]{1,80}>"
    r"|\*[^\W\d_][^*\n]{0,40}\*)"
)
_ANY_BRACKET: Final = re.compile(_BRACKET)
_GLUED: Final = re.compile(rf"(?:[{INVISIBLE}]|{_FOOTNOTE}|{_MARKUP})++")
_BLANKS: Final = re.compile(rf"[^\S\r\n\v\f\x1c-\x1e\x85\u2028\u2029]*+[{INVISIBLE}]*+")
_PLAIN_MARK: Final = re.compile(
    rf"{TIME_MARK}|{_FOOTNOTE}|{EMOJI_RUN}|{SMILEY}|{_FACE}|[{INVISIBLE}]|{_MARKUP}|{_INTERJECTION}"
    r"|#[^\W\d_]\w{0,40}(?=[ \t]{0,3}(?:[#\r\n]|\Z))"
)
_NOTE: Final = re.compile(rf"(?P<bracket>{_BRACKET})[.,!?…]?(?=[\s{INVISIBLE}{EMOJI}\[(#]|\Z)")
_FIRST_OF_MARK: Final = frozenset("([{<#*/:;=^xX->oOtT\\†‡¹²³⁰⁴⁵⁶⁷⁸⁹0123456789")

_SECONDS: Final = (
    r"(?:ca\.? ?)?\d{1,3}(?:[.,]\d{1,2})?\s?(?:s|sec|sek|sekunden?|min|minuten?)?\.?(?:\s?pause)?"
)
_PAUSE: Final = re.compile(rf"[\W_]*+(?:{_SECONDS})?+[\W_]*+\Z", re.IGNORECASE)
_ONLY_TIME: Final = re.compile(rf"[\W_]*+{_TIME}[\W_]*+\Z")
_ONE_TIME_MARK: Final = re.compile(rf"{TIME_MARK}\Z")
_LIST_NUMBER: Final = re.compile(r"(?:[0-9]{1,2}|[a-z])\Z")
# Words of notes. A bracket with one of them is a note also where it is alone on its line.
_NOTE_WORDS: Final = word_set("""
    abbruch ablehnend applaus atmet ausatmen auflachen bandende bestätigend bejahend belustigt betont einatmen
    flüstert flüsternd gähnt gelächter geräusch geräusche gleichzeitig grinst handbewegung handy hustet husten
    ironisch klatscht klingelt klingeln klopft lachen lachend lacht lächelt laut leise nachdenklich nickt niest
    pause räuspern räuspert schluchzt schmunzelt schnauft schnieft schreit schüttelt schweigen schweigt seufzen
    seufzend seufzt singt stille stirnrunzeln stöhnt störung telefon telefoniert überlegt überlegend unterbricht
    unterbrechung unv unverst unverständlich unvollständig verneinend weint weinen weinend wortabbruch zögernd
    zögert zustimmend zuckt kichert grunzt murmelt kopfschütteln schulterzucken durcheinander hintergrund kinderlärm
    verkehrslärm inaudible anonymisiert auslassung
""")
_ABBREVIATED_NOTES: Final = word_set("unv unverst unverständl ca vgl s sek min sec s.o s.u lt")
_WORD: Final = re.compile(r"[^\W\d_]{1,40}")

# Roles and short codes before a colon: "I:", "B1:", "INT.:", "Person A:", "[Anna]:", "Frau K.:", "B2 (00:01:02):".
_LABEL_NAME: Final = r"[A-ZÄÖÜ][\w.-]{0,24}(?: (?:\d{1,3}|[A-ZÄÖÜ][\w.-]{0,20})){0,2}"
_LABEL: Final = (
    rf"(?:\*\*|[\[<(])?{_LABEL_NAME}(?:\*\*|[\])>])?(?: ?[\[(#]{{1}}[^\]\n)#]{{1,20}}[\])#])?:(?:\*\*)?"
)
_LABEL_LINE: Final = re.compile(rf"(?:{TIME_MARK}[ \t]*)?+{_LABEL}(?=\s|\Z)")
_TIMED_LABEL: Final = re.compile(rf"{TIME_MARK}[ \t]{{0,3}}{_LABEL}(?=\s|\Z)")
_CODE: Final = re.compile(
    r"[\W_]*(?:[A-ZÄÖÜ]{1,4}\.?\d{0,3}|(?:Interviewer|Befragte|Moderator|Sprecher|Teilnehmer|Proband|Person|Frau|Herr"
    r"|Mann|Gast|Forscher|Experte|Expertin|Patient|Therapeut|Lehrer|Schüler|Student|Frage|Antwort|Speaker|Int|Bef|Mod)"
    r"(?:in|innen|r|n|en)?\.?(?: ?[A-ZÄÖÜ\d]\w{0,15}\.?)?)[\W_]*:[\W_]*\Z"
)
_ONLY_MARKS: Final = re.compile(rf"(?:{TIME_MARK}|{_BRACKET}|{_MARKUP}|{_INTERJECTION}|[\s{INVISIBLE}])++")
_LONGEST_MARKS: Final = 200
# Marks that are read behind one sentence. More belong to the next one, so that no mark is read again and again.
_MOST_MARKS: Final = 8

_CUE_TIME: Final = r"(?:\d{1,3}:)?\d{1,2}:\d{2}[.,]\d{1,3}"
_CUE: Final = re.compile(
    rf"(?:[\w-]{{1,40}}[ \t]*\r?\n)?{_CUE_TIME}[ \t]*-->[ \t]*{_CUE_TIME}[^\r\n]*+(?:\r?\n)?+"
)
_VTT_HEAD: Final = re.compile(r"\ufeff?WEBVTT[^\r\n]*+(?:\r?\n[^\r\n]++)*+")
_VTT_BLOCK: Final = re.compile(r"(?:NOTE|STYLE|REGION)(?=\s)[^\r\n]*+(?:\r?\n[^\r\n]++)*+")


def marks_end(text: str, start: int, position: int) -> int:
    """Return where the marks end that follow a sentence on its line and belong to it.

    Args:
        text: the whole text.
        start: where the sentence begins.
        position: the end of its punctuation.
    """
    end = position
    for _ in range(_MOST_MARKS):
        if position >= len(text):
            break
        glued = (
            _GLUED.match(text, position)
            if not (text[position].isalnum() and text[position].isascii())
            else None
        )
        if glued:
            position = end = glued.end()
            continue
        blanks = _BLANKS.match(text, position)
        at = blanks.end() if blanks else position
        if at >= len(text) or not (text[at] in _FIRST_OF_MARK or text[at] > "\u2000"):
            break
        if text[at] in "[({" and _TIMED_LABEL.match(text, at):
            break  # the next turn
        if mark := _PLAIN_MARK.match(text, at):
            if mark[0][0].isdecimal() and text.startswith(" Uhr", mark.end()):
                break
            position = end = mark.end()
            continue
        note = _NOTE.match(text, at)
        if note is None or not _is_note(text, start, note):
            break
        position = end = note.end()
    return end


def emoji_count(text: str) -> int:
    """Return the number of emoji and smileys."""
    return sum(1 for _ in _ANY_EMOJI.finditer(text))


def is_mark(content: str) -> bool:
    """Return whether the content of a bracket is a pause, an omission, a time or a known note."""
    if len(content) > _LONGEST_MARKS:
        return False
    if _PAUSE.match(content) or _ONLY_TIME.match(content):
        return True
    words = _WORD.findall(content)
    most = 2 if content[-1] in ".!?…" else 4
    return len(words) <= most and any(word.lower() in _NOTE_WORDS for word in words)


def is_only_marks(part: str) -> bool:
    """Return whether a part of a text holds no speech: marks, perhaps after a label."""
    if len(part) > _LONGEST_MARKS or not (":" in part or part[0] in _FIRST_OF_MARK):
        return False
    label = _LABEL_LINE.match(part)
    if label:
        if label.end() == len(part):
            return is_label_alone(part)
        part = part[label.end() :]
    if not _ONLY_MARKS.fullmatch(part):
        return False
    brackets = [bracket for bracket in _ANY_BRACKET.findall(part) if not _ONE_TIME_MARK.match(bracket)]
    return all(is_mark(bracket[1:-1]) for bracket in brackets)


def is_label(text: str, position: int) -> bool:
    """Return whether a label of a speaker is at `position`, where a line begins."""
    return _LABEL_LINE.match(text, position) is not None


def is_label_alone(line: str) -> bool:
    """Return whether a line is a label of a speaker and nothing else; other words may be headings ("Vorteile:")."""
    return len(line) <= _LONGEST_MARKS and _CODE.match(line) is not None


def cue_end(text: str, position: int) -> int:
    """Return the end of the heads of subtitles that begin at `position`, where a line begins; `position` if none does.

    The head of a cue in SRT or VTT is its number or name and its times; VTT has comments besides.
    """
    while True:
        found = _CUE.match(text, position) if text[position : position + 1] else None
        if found is None and position == 0:
            found = _VTT_HEAD.match(text)
        if found is None and text.startswith("WEBVTT", text.startswith("\ufeff")):
            found = _VTT_BLOCK.match(text, position)
        if found is None:
            return position
        position = found.end()
        while position < len(text) and text[position].isspace():
            position += 1


def _is_note(text: str, start: int, note: re.Match[str]) -> bool:
    """Return whether a bracket behind a sentence is a note on it, and no sentence or list number of its own."""
    bracket = note["bracket"]
    content = bracket.strip("()[]{}<>*").strip()
    if note[0].endswith(","):
        return False
    if _LIST_NUMBER.match(content) and content not in {"a", "0", "00"}:
        previous = int(content) - 1 if content.isdecimal() else chr(ord(content) - 1)
        before = f"{bracket[0]}{previous}{bracket[-1]}"
        return text.find(before, max(start, note.start() - 400), note.start()) < 0
    if is_mark(content):
        return True
    words = _WORD.findall(content)
    if len(words) > 6:
        return False
    if content[-1] in ".!?…":
        return words[-1].lower() in _ABBREVIATED_NOTES
    if content[0].islower() or bracket.startswith(("[", "((", "<", "*")):
        return True
    following = text[note.end() : note.end() + 40].lstrip()
    return len(words) < 3 and not following[:1].islower()
