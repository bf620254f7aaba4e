"""Where the sentences of a German text begin and end.

Own rules, because no library at hand does this for texts of any kind. Measured on one core: sentencex reads 20 MB/s,
but needs 168 s, holding Python's lock, for 2 MB of unpaired quotation marks, and parts "im 19. Jahrhundert"; ICU parts
"z. B."; pySBD and syntok read 50 to 600 KB/s; spaCy's parser needs a model and a process, for 43 KB/s. These rules read
2 MB/s of prose, let other threads run meanwhile, go once over the text and look at no more than 60 code points around a
border: no text makes them slower than 0.2 MB/s.

A sentence ends after `.`, `!`, `?` or `…` with the quotation marks and brackets that close behind it; also inside
quotations. It does not end after abbreviations, initials and ordinals, nor where "sagte sie" follows a quotation.
An empty line ends a sentence, and so does a single line break, as in Unicode's rules (UAX #29), unless the line ends in
a comma, a hyphen or a word such as "und", the next goes on in lower case, or the lines around show that it is a wrap.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from qda_worker.models.base import Span
from qda_worker.models.line_wraps import LINE_END, is_wrap
from qda_worker.models.sentence_words import (
    AFTER_ORDINALS,
    BEFORE_NUMBERS,
    BEFORE_ORDINALS,
    DAYS_AND_MONTHS,
    GOING_ON,
    NEVER_LAST,
    OPENERS,
    SELDOM_LAST,
)

_CLOSERS: Final = "\"'“”‘’»«›‹)\\]}*"
# Possessive, and matching whatever follows: so a run of a million points is looked at once.
_CANDIDATE: Final = re.compile(
    rf"(?P<point>[.!?…]++)[{_CLOSERS}]*+|(?P<lines>[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]++\s*+)"
)
_WORD_AHEAD: Final = re.compile(r"[^\w\s]{0,4}(\w{1,40})")
_LAST_WORD: Final = re.compile(r"\w+\Z")
_ADDRESS: Final = re.compile(r"[@/\\]|www\.|\S\.\S")
_ROMAN: Final = re.compile(r"[IVX]{1,5}\Z")
_DAY_AND_MONTH: Final = re.compile(r"\d\.\s*\d{1,2}\Z")
_BACK: Final = 60
"""Code points before a border that are looked at: more than two long words."""
_BEFORE_NUMBERS: Final = tuple(BEFORE_NUMBERS)
_SPACE_BEHIND: Final = re.compile(r"\s*+")
_SHORT_FORM: Final = re.compile(r"[^\W\d_]{1,3}\.\s")
"""Of letters and a point: "z. B." more often than a bullet, where lines are wrapped."""
_BULLET: Final = re.compile(r"[-–—•*·>]\s|\w{1,3}[.):]\s|[^\W\d_]{1,20}:\s")


def sentence_spans(text: str) -> list[Span]:
    """The sentences of `text` in their order, in code points, without the blanks around them.

    Between them there is nothing but blanks; a text of blanks alone has none.
    """
    spans: list[Span] = []
    start = 0
    for border in _borders(text):
        _add(spans, text, start, border)
        start = border
    _add(spans, text, start, len(text))
    return spans


def _add(spans: list[Span], text: str, start: int, end: int) -> None:
    """Adds a part of `text` less its blanks. One without letters or digits ("...", ":-)") is its line's last one's."""
    part = text[start:end]
    kept = part.strip()
    if not kept:
        return
    start += len(part) - len(part.lstrip())
    end = start + len(kept)
    if spans and not any(map(str.isalnum, kept)) and not LINE_END.search(text, spans[-1].end, start):
        start = spans.pop().start
    spans.append(Span(start, end))


def _borders(text: str) -> Iterator[int]:
    """Where a sentence ends, before the blanks that follow it."""
    start = 0
    for found in _CANDIDATE.finditer(text):
        at, behind = found.span()
        if found["lines"] is not None:
            ends = _line_ends_sentence(text, start, at, behind)
        else:
            ends = _point_ends_sentence(text, start, found["point"], at, behind)
        if ends:
            start = behind
            yield at if found["lines"] is not None else behind


def _line_ends_sentence(text: str, start: int, at: int, behind: int) -> bool:
    if len(LINE_END.findall(text, at, min(behind, at + _BACK))) > 1 or behind >= len(text):
        return True
    before = text[max(start, at - _BACK) : at].rstrip()
    if not before:
        return True  # a point has ended it
    if before.endswith((",", "-", "\u00ad", "/", "(")) and not _BULLET.match(text, behind):
        return False
    if before.rpartition(" ")[2].lower() in GOING_ON:
        return False
    if _BULLET.match(text, behind) and not _SHORT_FORM.match(text, behind):
        return True
    ahead = _WORD_AHEAD.match(text, behind)
    goes_on = ahead is not None and ahead[1][0].islower() and not _BULLET.match(text, behind)
    return not goes_on and not is_wrap(text, at, behind)


def _point_ends_sentence(text: str, start: int, point: str, at: int, behind: int) -> bool:
    """Whether the points at `at`, with what closes behind them up to `behind`, end the sentence from `start`."""
    if behind >= len(text):
        return True
    if not text[behind].isspace():
        return _is_glued(text, start, point, at, behind)
    next_at = _past_blanks(text, behind)
    ahead = _WORD_AHEAD.match(text, next_at)
    word = ahead[1] if ahead else ""
    closed = behind - at > len(point)
    if word[:1].islower():
        if closed or point.endswith(("..", "…")):
            return False  # „Kommst du?“ fragte sie. Na ja ... vielleicht.
        return "." not in point or _is_plain_word(text, start, at)
    if point != "." or closed:
        return True
    return _lone_point_ends_sentence(text, start, at, word)


def _lone_point_ends_sentence(text: str, start: int, at: int, word: str) -> bool:
    """The same for one point before `word`, which is no word in lower case."""
    before = text[max(start, at - _BACK) : at]
    word_before, last = _last_words(before)
    if not last:
        return True
    opens = word.lower() in OPENERS
    if last.isdecimal():
        if not before[: -len(last)].strip():
            return at - start > _BACK  # "1. Erstens": the number belongs to what it counts
        return len(last) > 3 or not _is_ordinal(before, word_before, word, opens)
    if len(last) == 1:
        chained = len(word_before) == 2 and word_before.endswith(".")  # z. B., u. a., d. h.
        return opens and not chained and not _touches_point(before, last)
    if last.lower() in NEVER_LAST or (word[:1].isdecimal() and last.lower().endswith(_BEFORE_NUMBERS)):
        return False
    return opens or not _is_seldom_last(last)


def _is_ordinal(before: str, word_before: str, word: str, opens: bool) -> bool:
    """Whether the number that ends `before` is a day, a month or another ordinal ("im 19.")."""
    if word[:1].isdecimal() and _DAY_AND_MONTH.search(before):
        return True
    if word.lower() in AFTER_ORDINALS:
        return True
    return not opens and word_before.lower() in BEFORE_ORDINALS


def _is_plain_word(text: str, start: int, at: int) -> bool:
    """Whether a word that is no abbreviation stands before `at`: only then may the next sentence be in lower case."""
    before = text[max(start, at - _BACK) : at]
    last = _last_words(before)[1]
    if len(last) < 3 or not last.isalpha():
        return False
    return last.lower() not in NEVER_LAST and not _is_seldom_last(last) and not _touches_point(before, last)


def _last_words(before: str) -> tuple[str, str]:
    """What blanks part off before the last word, with its points, and the letters and digits that end `before`."""
    if not before or before[-1].isspace():
        return "", ""
    parts = before.rsplit(None, 2)
    last = _LAST_WORD.search(parts[-1])
    return (parts[-2] if len(parts) > 1 else ""), (last[0] if last else "")


def _is_seldom_last(word: str) -> bool:
    return word.lower() in SELDOM_LAST or word in DAYS_AND_MONTHS or _ROMAN.match(word) is not None


def _is_glued(text: str, start: int, point: str, at: int, behind: int) -> bool:
    """Whether the next sentence follows without a blank: "Wirklich?Ja.Nein", but not in www.beispiel.de."""
    if not text[behind].isupper() or at == start or not text[at - 1].isalpha():
        return False
    if point != ".":
        return True
    word = text[max(start, at - _BACK) : at].rsplit(None, 1)[-1]
    follows = text[behind : behind + _BACK].split(None, 1)[0]
    plain = word.isalpha() and word[1:].islower() and len(word) > 2 and word.lower() not in NEVER_LAST
    return plain and not _ADDRESS.search(follows)


def _touches_point(before: str, last: str) -> bool:
    """Whether a point stands right before the word `last` that ends `before`: "z.B.", "i.d.R."."""
    return before[: -len(last)].endswith(".")


def _past_blanks(text: str, at: int) -> int:
    found = _SPACE_BEHIND.match(text, at)
    return found.end() if found else at
