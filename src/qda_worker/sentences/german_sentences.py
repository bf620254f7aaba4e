"""Sentence segmentation of German texts, by rules.

Own rules, because no available library does this for texts of any kind: the best of them miss every fourth border of
transcripts and answers, and read 0.02 to 10 MB/s (`benchmarks/sentences.py`). These rules read more than 5 MB/s and let
other threads run. They pass over the text once and look at a bounded number of code points around a possible
border, so that no text takes more than linear time.

Punctuation: a sentence ends after `.`, `!`, `?` or `…` together with the quotation marks and brackets that close behind
it, also inside quotations, and with the marks that follow it on its line (`transcription_marks`). It does not end after
abbreviations, initials and ordinals (`german_abbreviations`), within or behind a bracket that it goes on after, nor
where a phrase such as "sagte sie" follows a quotation. Emoji before a capital end it too.

Line breaks: see `line_breaks`. Heads of subtitles' cues are left out between sentences.
"""

import re
from typing import Final

from qda_worker.sentences.german_abbreviations import (
    full_stop_ends_sentence,
    is_long_plain_word,
    is_plain_word,
)
from qda_worker.sentences.german_words import (
    EXPECTANT_WORDS,
    FORMAL_ADDRESS,
    INTERRUPTED_WORDS,
    SECOND_VERBS,
    SENTENCE_OPENERS,
    SMALL_OPENERS,
    SPEECH_VERBS,
    first_word,
    last_word,
)
from qda_worker.sentences.line_breaks import LINE_BREAKS, LINE_END, NEXT_WORD, line_break_ends_sentence
from qda_worker.sentences.span import Span
from qda_worker.sentences.transcription_marks import (
    EMOJI,
    EMOJI_RUN,
    INVISIBLE,
    SMILEY,
    cue_end,
    emoji_count,
    is_mark,
    is_only_marks,
    marks_end,
)

# Quotation marks, brackets and emphasis that close after the punctuation of a sentence; part of a character class.
_CLOSERS: Final = f"\"'“”‘’»«›‹)\\]}}*{INVISIBLE}"
# As the French write quotations: « Non. »
_CLOSER_BEHIND_BLANK: Final = r"(?:[ \u00a0\u202f]»(?=[\s,.!?]|\Z))?+"
# A possible border. It begins with a character class, for which `re` searches fast. The quantifiers are possessive, so
# that a run of a million full stops is read only once.
_CANDIDATE: Final = re.compile(
    rf"(?=[.!?…{LINE_BREAKS}{EMOJI}:;=<^xX])"
    rf"(?:(?P<point>[.!?…]++)[{_CLOSERS}]*+{_CLOSER_BEHIND_BLANK}"
    rf"|(?P<lines>[{LINE_BREAKS}]++\s*+)|(?P<emoji>{EMOJI_RUN}|{SMILEY}))"
)
_OPENERS: Final = "\"'„“‚‘»«›‹(["
_ENDS: Final = ".!?…\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
_INVISIBLE_RUN: Final = re.compile(rf"[{INVISIBLE}]++")
_BLANKS: Final = re.compile(rf"[\s{INVISIBLE}]*+")
_LIST_NUMBER: Final = re.compile(r"[\W_]*+(?:\d{1,2}|[^\W\d_])\.\)\Z")
_NEXT_WORD_BEHIND_DASH: Final = re.compile(rf"(?:[-–—]\s)?+{NEXT_WORD.pattern}")
_LAST_WORD: Final = re.compile(r"(\w{1,40})\W{0,3}\Z")
_TWO_WORDS: Final = re.compile(r"[^\w\s]{0,4}\w{1,40}[ \u00a0](\w{1,40})")
# "Klingeln Sie": a verb begins a sentence.
_VERB_AND_SUBJECT: Final = re.compile(r"\s[A-ZÄÖÜ]\w{1,40} (?:[Ss]ie|ich|du|er|es|wir|ihr|man)\b")
_ADDRESS: Final = re.compile(r"[@/\\]|www\.|\S\.[^\W\d_A-ZÄÖÜ]")

# Shorter words may be the end of an address.
_SHORTEST_OPENER: Final = 3
# Code points before a border that are examined: more than two long words.
_LOOKBEHIND: Final = 60
# Longest number of a list, with the blanks and the bullet before it, in code points.
_LONGEST_LIST_NUMBER: Final = 20
# Longest bracket that is recognized, in code points.
_BRACKET_REACH: Final = 150
# Longest run of blanks and quotation marks between a sentence and a bracket that is a sentence of its own.
_BETWEEN_REACH: Final = 20
# A longer sentence that begins with a capital goes on after a question mark before a small letter.
_LONGEST_EXCLAMATION: Final = 60


def sentence_spans(text: str) -> list[Span]:
    """Return the sentences of a text.

    Returns:
        Spans in code points, in text order, without surrounding blanks. Between them are only blanks and transcription
        marks that belong to no sentence. A text of blanks and marks has no sentences.
    """
    spans: list[Span] = []
    start = cue_end(text, 0)
    in_cue = start > 0
    position = start
    while candidate := _CANDIDATE.search(text, position):
        end, position = candidate.span()
        if candidate.lastgroup == "lines":
            following = cue_end(text, position) if position < len(text) else position
            if following > position:
                ends = _cue_ends_sentence(text, start, end, following)
                in_cue, position = True, following
            else:
                ends = line_break_ends_sentence(text, start, end, position, in_cue=in_cue)
                in_cue = in_cue and len(LINE_END.findall(text, end, min(position, end + 4))) < 2
        else:
            point = candidate["point"]
            closed = position
            if not (text[position : position + 1] == " " and text[position + 1 : position + 2].isalpha()):
                position = marks_end(text, start, position)
            if point is None:
                ends = _emoji_ends_sentence(text, start, end, position)
            else:
                ends = _punctuation_ends_sentence(text, start, point, end, closed, position)
            if ends:
                end = position
            elif point is not None:
                position = closed  # what follows may hold a border
        if ends:
            _append_sentence(spans, text, start, end)
            start = position
    _append_sentence(spans, text, start, len(text))
    return spans


def max_sentence_count(text: str) -> int:
    """Return a number that the sentences of a text do not exceed, much faster than the sentences themselves."""
    return 1 + sum(map(text.count, _ENDS)) + emoji_count(text)


def _append_sentence(spans: list[Span], text: str, start: int, end: int) -> None:
    """Append a part of the text without its blanks; leave it out if it consists of transcription marks.

    A part without letters and digits ("...", ":-)") is joined to the sentence before on the same line.
    """
    part = text[start:end]
    kept = part.strip()
    if not kept or is_only_marks(kept):
        return
    start += len(part) - len(part.lstrip())
    end = start + len(kept)
    silent = not (kept[0].isalpha() or any(map(str.isalnum, kept)))
    if silent and spans and not LINE_END.search(text, spans[-1].end, start):
        start = spans.pop().start
    spans.append(Span(start, end))


# In the functions below, `start` is where the sentence begins, `position` where the punctuation begins, `closed` where
# it ends with its closing marks, and `after` where the marks behind it end.


def _punctuation_ends_sentence(
    text: str, start: int, point: str, position: int, closed: int, after: int
) -> bool:
    if after >= len(text):
        return True
    if not text[after].isspace():
        return _starts_without_blank(text, start, point, position, after)
    match = _NEXT_WORD_BEHIND_DASH.match(text, _skip_blanks(text, after))
    word = match[1] if match else ""
    if (ends := _bracket_ends_sentence(text, start, position, closed, word)) is not None:
        return ends
    quoted = closed - position > len(point)
    if quoted and closed - start <= _LONGEST_LIST_NUMBER and _LIST_NUMBER.match(text, start, closed):
        return False  # 1.) Wohnung
    if word[:1].islower():
        if quoted or point.endswith(("..", "…")):
            return False  # „Kommst du?“ fragte sie. Na ja ... vielleicht.
        if "." in point:
            before = text[max(start, position - _LOOKBEHIND) : position].lstrip()
            return is_plain_word(before, word) and _opens_in_lower_case(text, start, closed, after, word)
        return word not in SPEECH_VERBS and _is_exclamation(text, start, position)
    if point.endswith(("..", "…")) and not quoted:
        return _ellipsis_ends_sentence(text, start, position, after, word)
    if point != "." or (quoted and not _INVISIBLE_RUN.fullmatch(text, position + 1, closed)):
        return True
    return _full_stop_ends(text, start, position, word)


def _full_stop_ends(text: str, start: int, position: int, word: str) -> bool:
    first = max(start, position - _LOOKBEHIND)
    if is_long_plain_word(text[text.rfind(" ", first, position) + 1 : position]) and not word[:1].isdecimal():
        return True  # by far the most common case
    verb_first = _VERB_AND_SUBJECT.match(text, position + 1) is not None
    before = text[first:position].lstrip()
    return full_stop_ends_sentence(before, word, whole=first == start, verb_first=verb_first)


def _is_exclamation(text: str, start: int, position: int) -> bool:
    """Return whether a small letter may begin a sentence: after short ones, and where all is in small letters."""
    return position - start <= _LONGEST_EXCLAMATION or _begins_small(text, start)


def _opens_in_lower_case(text: str, start: int, closed: int, after: int, word: str) -> bool:
    """Return whether `word`, in lower case, begins a sentence, and does not rather follow an unknown abbreviation."""
    if after > closed or word in SMALL_OPENERS or _begins_small(text, start):
        return True
    return text[_skip_blanks(text, after)] in "@#"  # @lisa auch


def _begins_small(text: str, start: int) -> bool:
    first = NEXT_WORD.match(text, _skip_blanks(text, start))
    return first is not None and not first[1][0].isupper()


def _ellipsis_ends_sentence(text: str, start: int, position: int, after: int, word: str) -> bool:
    """Return whether an ellipsis ends the sentence. The next word `word` is not in lower case."""
    before = _LAST_WORD.search(text[max(start, position - _LOOKBEHIND) : position])
    last = before[1].lower() if before else ""
    attached = position > 0 and not text[position - 1].isspace()
    if not word:
        return True
    if before is not None and last == word.lower():
        return (
            before[1].islower() and last not in FORMAL_ADDRESS
        )  # dann ... Dann kam er. But: Die ... Die Stelle
    if word.lower() in SENTENCE_OPENERS:
        return not (last in EXPECTANT_WORDS and word.lower() in FORMAL_ADDRESS)
    if last in EXPECTANT_WORDS:
        return False  # Und dann ... Stille.
    if word[0].isdecimal():
        return attached
    following = _TWO_WORDS.match(text, _skip_blanks(text, after))
    return attached or (following is not None and following[1] in SECOND_VERBS)


def _bracket_ends_sentence(text: str, start: int, position: int, closed: int, word: str) -> bool | None:
    """Return whether the sentence ends if the punctuation is in a bracket within it, and None if it is in none.

    The sentences of a bracket between sentences are sentences: "(Das war 2010. Da war ich jung.)".
    """
    first = max(start, position - _BRACKET_REACH)
    opening = max(text.rfind("(", first, position), text.rfind("[", first, position))
    if opening < 0:
        return None
    closing = ")" if text[opening] == "(" else "]"
    if text.find(closing, opening, position) >= 0:
        return None
    between = not text[start:opening].strip(' \t\r\n\u00a0"„»«-–')
    if text.find(closing, position, closed) < 0:
        end = text.find(closing, closed, closed + _BRACKET_REACH)
        inside = end >= 0 and not between and not LINE_END.search(text, closed, end)
        return False if inside else None
    content = text[opening + 1 : position]
    if is_mark(content) or not any(map(str.isalnum, content)):
        return False
    if between:
        return None
    if not word or word[0].islower() or word.lower() in FORMAL_ADDRESS or len(content.split()) < 2:
        return False
    return word.lower() in SENTENCE_OPENERS and _full_stop_ends(text, opening + 1, position, word)


def _emoji_ends_sentence(text: str, start: int, position: int, after: int) -> bool:
    """Return whether emoji without punctuation end the sentence: "Alles super 😊 Gerne wieder"."""
    if after >= len(text):
        return True
    before = text[max(start, position - _LOOKBEHIND) : position]
    last = _LAST_WORD.search(before)
    if last is None or last[1].lower() in INTERRUPTED_WORDS:
        return False
    match = NEXT_WORD.match(text, _skip_blanks(text, after))
    return match is not None and match[1][0].isupper()


def _starts_without_blank(text: str, start: int, point: str, position: int, after: int) -> bool:
    """Return whether the next sentence follows without a blank: "Wirklich?Ja.Nein", but not www.beispiel.de."""
    if position == start:
        return False
    word = last_word(text[max(start, position - _LOOKBEHIND) : position]).lstrip(_OPENERS)
    following = first_word(text[after : after + _LOOKBEHIND])
    after_number = word.isdecimal() and position - len(word) > start
    if not (text[position - 1].isalpha() or after_number):
        return False
    first = NEXT_WORD.match(following)
    next_word = first[1] if first else ""
    if text[after].isupper():
        if point.endswith(("..", "…")):
            return _ellipsis_ends_sentence(text, start, position, after, next_word)
        if point != ".":
            return True
        opens = next_word.lower() in SENTENCE_OPENERS
        plain = (after_number and opens) or (
            word.isalpha()
            and word[1:].islower()
            and (
                is_plain_word(word) or (opens and full_stop_ends_sentence(word, next_word, whole=False))
            )  # usw.
        )
        if len(next_word) == 1 and following == next_word:
            return False  # auswertung.R
        return plain and not _ADDRESS.search(following) and (len(next_word) == 1 or not next_word.isupper())
    if not text[after].islower() or _ADDRESS.search(word) or _ADDRESS.search(following):
        return False
    if not _opens_without_blank(text, after, next_word) or point.endswith(("..", "…")):
        return False
    return point != "." or (word.isalpha() and is_plain_word(word))


def _opens_without_blank(text: str, after: int, word: str) -> bool:
    """Return whether `word`, in small letters, begins a sentence and is not the end of an address: "amazon.es"."""
    if len(word) >= _SHORTEST_OPENER:
        return word in SENTENCE_OPENERS
    following = _TWO_WORDS.match(text, after)
    return word in SMALL_OPENERS and following is not None and following[1] in SECOND_VERBS


def _skip_blanks(text: str, position: int) -> int:
    match = _BLANKS.match(text, position)
    return match.end() if match else position


def _cue_ends_sentence(text: str, start: int, position: int, after: int) -> bool:
    """Return whether a sentence ends before the head of a cue. Many go on in the next cue."""
    before = text[max(start, position - _LOOKBEHIND) : position].rstrip()
    match = NEXT_WORD.match(text, after)
    continues = match is not None and (match[1][0].islower() or before.endswith((",", "-")))
    return not before or not continues
