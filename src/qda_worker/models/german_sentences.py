"""Sentence segmentation of German texts, by rules.

Own rules, because no available library does this for texts of any kind. Measured on one core: sentencex reads 20 MB/s,
but needs 168 s, holding the global interpreter lock, for 2 MB of unpaired quotation marks, and splits "im 19.
Jahrhundert"; ICU splits "z. B."; pySBD and syntok read 50 to 600 KB/s; spaCy's parser needs a model and a process, for
43 KB/s. These rules read 2 MB/s of prose and let other threads run. They pass over the text once and look at no more
than 60 code points around a boundary, and at seven lines around a line break, so no text is slower than 0.2 MB/s.

Punctuation: a sentence ends after `.`, `!`, `?` or `…` together with the quotation marks and brackets that close behind
it, also inside quotations. It does not end after abbreviations, initials and ordinals, nor where a phrase such as
"sagte sie" follows a quotation.

Line breaks: an empty line ends a sentence, and so does a single line break, as in Unicode's rules (UAX #29). It does
not if the line ends in a comma, a hyphen or a word such as "und", if the next line starts in lower case, or if the
break is a wrap (`is_line_wrap`).

Wraps: reports and e-mails are often hard-wrapped, and every second line of German then starts with a capital. In
wrapped text each line is as full as its next word allows, except the last one of a paragraph. The lines of lists and
answers have any length.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from qda_worker.models.base import Span


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Word lists. Abbreviations are in lower case, without full stops. Those of one letter (S., z. B.) need no list.

# Abbreviations that never end a sentence: a name, a number or the rest of a phrase follows.
NEVER_LAST: Final = _words("""
    abb abs abschn abt adr allg anm aufl ausg bd bde bearb begr beisp bes betr bez bspw bzgl bzw ca dgl dipl dir doz dr
    dt ebd eigtl einschl engl entspr erg erw europ ev evang evtl exkl fa fr frl frz gefr gegr geh gem gen gesch gest gez
    ggf ggfs griech hg hl hr hrn hrsg ing inkl insb insbes insg int internat ital jap jur kap kath kgl kl lat lfd lic
    med mr mrs ms nachf niederl nr oberg orig österr phil poln prof ps rd red ref reg rer röm russ sen sog soz spez st
    stellv stud techn theol trad ungar unterg urspr verf vergl verh verm vgl vol vorl vors wiss zb zit zool zus zz zzgl
""")

# Abbreviations that may end a sentence, depending on what follows.
SELDOM_LAST: Final = _words("""
    ag al bhf chr co corp etc ff gmbh hbf inc jh jhd jhdt jr km ltd mill min mio mrd pl sek sr std stdn str tel tsd ua
    usf usw uvm uä verl
""")

# The same, but case-sensitive: in lower case these are other words.
DAYS_AND_MONTHS: Final = _words("Mo Di Mi Do Fr Sa So Jan Feb Febr Mär Apr Jun Jul Aug Sep Sept Okt Nov Dez")

# Abbreviations, also at the end of a compound (Hauptstr.), that count as such only before a number.
BEFORE_NUMBERS: Final = _words("art bl par str ziff")

# Words that follow an ordinal number such as "3.".
AFTER_ORDINALS: Final = _words("""
    januar jänner februar feber märz april mai juni juli august september oktober november dezember
    jan feb mär apr jun jul aug sep sept okt nov dez
    jahrhundert jahrhunderts jahrhunderte jahrhunderten jahrtausend jahrtausends jh jhd jhdt
    weltkrieg weltkriegs weltkrieges advent bundesliga etage geburtstag hochzeitstag jahrestag klasse lebensjahr
    lebensjahres lebenswoche liga quartal schuljahr semester stock stockwerk todestag
""")

# Words that precede an ordinal number, and rarely a number that ends a sentence.
BEFORE_ORDINALS: Final = _words("""
    ab am beim bis das dem den der des die dieser dieses diesem ihr ihre ihrem ihren im in ins jeden jeder jedes mein
    meine meinem meinen meiner nach sein seine seinem seinen seit unser unsere unserem vom von vor zum zur
""")

# Words that are normally in lower case: if they are capitalised, a sentence begins.
SENTENCE_OPENERS: Final = _words("""
    aber ach alle allerdings alles als also an auch auf aus außerdem bei beide bis bisher da dabei dadurch dafür dagegen
    daher damals damit danach daneben dann daran darauf daraus darin darüber darum das dass davon davor dazu dein deine
    denn dennoch der deshalb deswegen die dies diese dieser dieses doch dort du durch eben ein eine einem einen einer
    einige einmal er erst es etwas euer eure früher für ganz genau gestern hat hatte heute hier hinzu ich ihm ihn ihnen
    ihr ihre ihren im immer in inzwischen ist ja jede jeder jedes jedoch jetzt kann kein keine man manche manchmal mein
    meine meiner mich mir mit möglicherweise morgen nach nachdem natürlich nein nicht nichts noch nun nur ob obwohl oder
    oft ohne ok okay schließlich schon sehr sein seine seit sie sind so sobald sogar solange somit sondern sonst später
    trotzdem über um und uns unser unsere unter viele vielleicht vom von vor war was weil weiter wenn wer werden wie
    wieder wir wird wo wohl während zu zudem zuerst zuletzt zum zur zwar zwischen
""")

# Words that cannot end a sentence: after them, the sentence continues on the next line.
CONTINUING_WORDS: Final = _words("""
    als am an auf aus bei bis dass das dem den der des die durch ein eine einem einen einer eines für gegen im in mit
    nach oder ohne seit sondern sowie über um und unter vom von vor während weil wenn zu zum zur zwischen
""")

LINE_END: Final = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")

# Quotation marks, brackets and emphasis that close after the punctuation of a sentence; part of a character class.
_CLOSERS: Final = "\"'“”‘’»«›‹)\\]}*"
# A possible boundary. The quantifiers are possessive, so that a run of a million full stops is read only once.
_CANDIDATE: Final = re.compile(
    rf"(?P<point>[.!?…]++)[{_CLOSERS}]*+|(?P<lines>[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]++\s*+)"
)
_NEXT_WORD: Final = re.compile(r"[^\w\s]{0,4}(\w{1,40})")
_LAST_WORD: Final = re.compile(r"\w+\Z")
_ADDRESS: Final = re.compile(r"[@/\\]|www\.|\S\.\S")
_ROMAN: Final = re.compile(r"[IVX]{1,5}\Z")
_DAY_AND_MONTH: Final = re.compile(r"\d\.\s*\d{1,2}\Z")
_BLANKS: Final = re.compile(r"\s*+")
# Letters and a full stop: in wrapped lines more often an abbreviation ("z. B.") than a bullet.
_SHORT_FORM: Final = re.compile(r"[^\W\d_]{1,3}\.\s")
_BULLET: Final = re.compile(r"[-–—•*·>]\s|\w{1,3}[.):]\s|[^\W\d_]{1,20}:\s")
_ENDS_PARAGRAPH: Final = re.compile(r"[.!?…:][\"'“”‘’»«›‹)\]]*\Z")
_BEFORE_NUMBERS: Final = tuple(BEFORE_NUMBERS)

# Code points before a boundary that are examined: more than two long words.
_LOOKBEHIND: Final = 60
# Limits for the widest line around a wrap, in code points: verse is narrower, wider text was not wrapped to be read.
_MIN_WRAP_WIDTH: Final = 40
_MAX_WRAP_WIDTH: Final = 120
# A shorter line is not full: for that, the next word would have to be half the width long.
_MIN_FULL_LINE: Final = 20
# Lines that are examined on either side of a break.
_WRAP_LINES: Final = 3
# Full lines that are needed: fewer may be chance.
_MIN_FULL_LINES: Final = 2
_WRAP_REACH: Final = _WRAP_LINES * (_MAX_WRAP_WIDTH + 2)


def sentence_spans(text: str) -> list[Span]:
    """Return the sentences of a text.

    Returns:
        Spans in code points, in text order, without surrounding blanks. Only blanks are between them; a text of blanks
        has no sentences.
    """
    spans: list[Span] = []
    start = 0
    for boundary in _boundaries(text):
        _append_sentence(spans, text, start, boundary)
        start = boundary
    _append_sentence(spans, text, start, len(text))
    return spans


def is_line_wrap(text: str, position: int, next_line: int) -> bool:
    """Return whether a single line break is a wrap inside a paragraph.

    Args:
        text: the whole text.
        position: offset of the line break.
        next_line: offset of the first non-blank character of the next line.
    """
    line_start = text.rfind("\n", max(0, position - _MIN_FULL_LINE - 1), position)
    if position - 1 - line_start < _MIN_FULL_LINE and position > _MIN_FULL_LINE:
        return False  # the most common case, decided without a look at other lines
    before = _lines(text[max(0, position - _WRAP_REACH) : position], from_start=position <= _WRAP_REACH)
    after = _lines(text[next_line : next_line + _WRAP_REACH], to_end=next_line + _WRAP_REACH >= len(text))
    lines = [*_until_blank(before[::-1])[::-1], *_until_blank(after)]
    widths = [len(line) for line in lines]
    if not lines or not _MIN_WRAP_WIDTH <= max(widths) <= _MAX_WRAP_WIDTH:
        return False
    full = 0
    for line, following in pairwise(lines):
        if len(line) + 1 + len(following.split(None, 1)[0]) > max(widths):
            full += 1
        elif not _ENDS_PARAGRAPH.search(line):
            return False
    return full >= _MIN_FULL_LINES


def _boundaries(text: str) -> Iterator[int]:
    """Yield the offsets where sentences end, before the blanks that follow."""
    start = 0
    for match in _CANDIDATE.finditer(text):
        position, after = match.span()
        if match["lines"] is not None:
            ends = _line_break_ends_sentence(text, start, position, after)
        else:
            ends = _punctuation_ends_sentence(text, start, match["point"], position, after)
        if ends:
            start = after
            yield position if match["lines"] is not None else after


def _append_sentence(spans: list[Span], text: str, start: int, end: int) -> None:
    """Append a part of the text without its blanks.

    A part without letters and digits ("...", ":-)") is joined to the sentence before on the same line.
    """
    part = text[start:end]
    kept = part.strip()
    if not kept:
        return
    start += len(part) - len(part.lstrip())
    end = start + len(kept)
    if spans and not any(map(str.isalnum, kept)) and not LINE_END.search(text, spans[-1].end, start):
        start = spans.pop().start
    spans.append(Span(start, end))


# In the functions below, `start` is where the sentence begins, `position` where the punctuation or line break begins,
# and `after` where it ends, closing marks and blank lines included.


def _line_break_ends_sentence(text: str, start: int, position: int, after: int) -> bool:
    if len(LINE_END.findall(text, position, min(after, position + _LOOKBEHIND))) > 1 or after >= len(text):
        return True
    before = text[max(start, position - _LOOKBEHIND) : position].rstrip()
    if not before:
        return True  # punctuation has ended it already
    if before.endswith((",", "-", "\u00ad", "/", "(")) and not _BULLET.match(text, after):
        return False
    if before.rpartition(" ")[2].lower() in CONTINUING_WORDS:
        return False
    if _BULLET.match(text, after) and not _SHORT_FORM.match(text, after):
        return True
    next_word = _NEXT_WORD.match(text, after)
    continues = next_word is not None and next_word[1][0].islower() and not _BULLET.match(text, after)
    return not continues and not is_line_wrap(text, position, after)


def _punctuation_ends_sentence(text: str, start: int, point: str, position: int, after: int) -> bool:
    if after >= len(text):
        return True
    if not text[after].isspace():
        return _starts_without_blank(text, start, point, position, after)
    match = _NEXT_WORD.match(text, _skip_blanks(text, after))
    word = match[1] if match else ""
    closed = after - position > len(point)
    if word[:1].islower():
        if closed or point.endswith(("..", "…")):
            return False  # „Kommst du?“ fragte sie. Na ja ... vielleicht.
        return "." not in point or _is_plain_word(text, start, position)
    if point != "." or closed:
        return True
    return _full_stop_ends_sentence(text, start, position, word)


def _full_stop_ends_sentence(text: str, start: int, position: int, word: str) -> bool:
    """Return whether a single full stop ends the sentence. The next word `word` is not in lower case."""
    before = text[max(start, position - _LOOKBEHIND) : position]
    word_before, last = _last_words(before)
    if not last:
        return True
    opens = word.lower() in SENTENCE_OPENERS
    if last.isdecimal():
        if not before[: -len(last)].strip():
            return position - start > _LOOKBEHIND  # "1. Erstens": the number belongs to what it counts
        return len(last) > 3 or not _is_ordinal(before, word_before, word, opens)
    if len(last) == 1:
        chained = len(word_before) == 2 and word_before.endswith(".")  # z. B., u. a., d. h.
        return opens and not chained and not _follows_full_stop(before, last)
    if last.lower() in NEVER_LAST or (word[:1].isdecimal() and last.lower().endswith(_BEFORE_NUMBERS)):
        return False
    return opens or not _is_seldom_last(last)


def _is_ordinal(before: str, word_before: str, word: str, opens: bool) -> bool:
    """Return whether the number that ends `before` is a day, a month or another ordinal ("im 19.")."""
    if word[:1].isdecimal() and _DAY_AND_MONTH.search(before):
        return True
    if word.lower() in AFTER_ORDINALS:
        return True
    return not opens and word_before.lower() in BEFORE_ORDINALS


def _is_plain_word(text: str, start: int, position: int) -> bool:
    """Return whether the word before `position` is no abbreviation.

    Only then may the next sentence start in lower case.
    """
    before = text[max(start, position - _LOOKBEHIND) : position]
    last = _last_words(before)[1]
    if len(last) < 3 or not last.isalpha():
        return False
    return (
        last.lower() not in NEVER_LAST and not _is_seldom_last(last) and not _follows_full_stop(before, last)
    )


def _last_words(before: str) -> tuple[str, str]:
    """Return the last but one word, with its punctuation, and the letters and digits that end `before`."""
    if not before or before[-1].isspace():
        return "", ""
    parts = before.rsplit(None, 2)
    last = _LAST_WORD.search(parts[-1])
    return (parts[-2] if len(parts) > 1 else ""), (last[0] if last else "")


def _is_seldom_last(word: str) -> bool:
    return word.lower() in SELDOM_LAST or word in DAYS_AND_MONTHS or _ROMAN.match(word) is not None


def _starts_without_blank(text: str, start: int, point: str, position: int, after: int) -> bool:
    """Return whether the next sentence follows without a blank: "Wirklich?Ja.Nein", but not www.beispiel.de."""
    if not text[after].isupper() or position == start or not text[position - 1].isalpha():
        return False
    if point != ".":
        return True
    word = text[max(start, position - _LOOKBEHIND) : position].rsplit(None, 1)[-1]
    following = text[after : after + _LOOKBEHIND].split(None, 1)[0]
    plain = word.isalpha() and word[1:].islower() and len(word) > 2 and word.lower() not in NEVER_LAST
    return plain and not _ADDRESS.search(following)


def _follows_full_stop(before: str, last: str) -> bool:
    """Return whether a full stop is right before the word `last` that ends `before`: "z.B.", "i.d.R."."""
    return before[: -len(last)].endswith(".")


def _skip_blanks(text: str, position: int) -> int:
    match = _BLANKS.match(text, position)
    return match.end() if match else position


def _lines(part: str, *, from_start: bool = True, to_end: bool = True) -> list[str]:
    """Return the whole lines of a part of the text; its first and last line only if they are known to be whole."""
    lines = [line.rstrip() for line in LINE_END.split(part)]
    return lines[0 if from_start else 1 : len(lines) if to_end else -1]


def _until_blank(lines: list[str]) -> list[str]:
    """Return the lines up to the first empty one, at most _WRAP_LINES."""
    paragraph: list[str] = []
    for line in lines[:_WRAP_LINES]:
        if not line:
            break
        paragraph.append(line)
    return paragraph
