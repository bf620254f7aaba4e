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

German words by which a point that ends a sentence is told from one that does not.

Whether a line break is a wrap: put there because the next word did not fit, and not because a sentence ends.

Reports and e-mails come hard-wrapped, and in German every other line then begins with a capital. A wrapped text shows
by its lines: each is as full as its next word allows, but those that end a paragraph. Lists and answers, one a line,
are of any length. Looked at are three lines on either side, of 120 code points at most: no text makes this slow.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from qda_worker.models.base import Span


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Abbreviations are letters alone, in lower case, without their points. Those of one letter (S., z. B.) need no list.

# Abbreviations that something follows: a name, a number, the rest of a phrase.
NEVER_LAST: Final = _words("""
    abb abs abschn abt adr allg anm aufl ausg bd bde bearb begr beisp bes betr bez bspw bzgl bzw ca dgl dipl dir doz dr
    dt ebd eigtl einschl engl entspr erg erw europ ev evang evtl exkl fa fr frl frz gefr gegr geh gem gen gesch gest gez
    ggf ggfs griech hg hl hr hrn hrsg ing inkl insb insbes insg int internat ital jap jur kap kath kgl kl lat lfd lic
    med mr mrs ms nachf niederl nr oberg orig österr phil poln prof ps rd red ref reg rer röm russ sen sog soz spez st
    stellv stud techn theol trad ungar unterg urspr verf vergl verh verm vgl vol vorl vors wiss zb zit zool zus zz zzgl
""")

# Abbreviations that may be a sentence's last word: it depends on what follows.
SELDOM_LAST: Final = _words("""
    ag al bhf chr co corp etc ff gmbh hbf inc jh jhd jhdt jr km ltd mill min mio mrd pl sek sr std stdn str tel tsd ua
    usf usw uvm uä verl
""")

# The same, but words of other meanings in lower case.
DAYS_AND_MONTHS: Final = _words("Mo Di Mi Do Fr Sa So Jan Feb Febr Mär Apr Jun Jul Aug Sep Sept Okt Nov Dez")

# Abbreviations, also as a word's end (Hauptstr.), that are such only before a number.
BEFORE_NUMBERS: Final = _words("art bl par str ziff")

# What an ordinal number such as "3." stands before.
AFTER_ORDINALS: Final = _words("""
    januar jänner februar feber märz april mai juni juli august september oktober november dezember
    jan feb mär apr jun jul aug sep sept okt nov dez
    jahrhundert jahrhunderts jahrhunderte jahrhunderten jahrtausend jahrtausends jh jhd jhdt
    weltkrieg weltkriegs weltkrieges advent bundesliga etage geburtstag hochzeitstag jahrestag klasse lebensjahr
    lebensjahres lebenswoche liga quartal schuljahr semester stock stockwerk todestag
""")

# What stands before an ordinal number and hardly before a number that is a sentence's last word.
BEFORE_ORDINALS: Final = _words("""
    ab am beim bis das dem den der des die dieser dieses diesem ihr ihre ihrem ihren im in ins jeden jeder jedes mein
    meine meinem meinen meiner nach sein seine seinem seinen seit unser unsere unserem vom von vor zum zur
""")

# Words that are written with a capital letter because a sentence begins with them.
OPENERS: Final = _words("""
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

# Words that a line does not end with unless its sentence goes on in the next.
GOING_ON: Final = _words("""
    als am an auf aus bei bis dass das dem den der des die durch ein eine einem einen einer eines für gegen im in mit
    nach oder ohne seit sondern sowie über um und unter vom von vor während weil wenn zu zum zur zwischen
""")


LINE_END: Final = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
# Code points of the widest line around: verse is narrower, and what is wider was not wrapped for eyes.
_NARROWEST, _WIDEST = 40, 120
# A line of less is not full: that would take a word of half the width.
_SHORTEST: Final = 20
# On either side of the break.
_LINES: Final = 3
# So many are no chance.
_FULL_LINES: Final = 2
_REACH: Final = _LINES * (_WIDEST + 2)
_ENDS_PARAGRAPH: Final = re.compile(r"[.!?…:][\"'“”‘’»«›‹)\]]*\Z")


def is_wrap(text: str, at: int, behind: int) -> bool:
    """Whether the single line break at `at` parts words of one paragraph; the next line's text begins at `behind`."""
    if at - 1 - text.rfind("\n", max(0, at - _SHORTEST - 1), at) < _SHORTEST and at > _SHORTEST:
        return False  # most often, and said at once
    before = _lines(text[max(0, at - _REACH) : at], from_start=at <= _REACH)
    after = _lines(text[behind : behind + _REACH], to_end=behind + _REACH >= len(text))
    lines = [*_until_blank(before[::-1])[::-1], *_until_blank(after)]
    widths = [len(line) for line in lines]
    if not lines or not _NARROWEST <= max(widths) <= _WIDEST:
        return False
    full = 0
    for line, follows in pairwise(lines):
        if len(line) + 1 + len(follows.split(None, 1)[0]) > max(widths):
            full += 1
        elif not _ENDS_PARAGRAPH.search(line):
            return False
    return full >= _FULL_LINES


def _lines(part: str, *, from_start: bool = True, to_end: bool = True) -> list[str]:
    """The whole lines of a part of the text; its first or last one only if it is known to be whole."""
    lines = [line.rstrip() for line in LINE_END.split(part)]
    return lines[0 if from_start else 1 : len(lines) if to_end else -1]


def _until_blank(lines: list[str]) -> list[str]:
    """The lines of the paragraph that begins with the first, at most three."""
    found: list[str] = []
    for line in lines[:_LINES]:
        if not line:
            break
        found.append(line)
    return found


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
# Code points before a border that are looked at: more than two long words.
_BACK: Final = 60
_BEFORE_NUMBERS: Final = tuple(BEFORE_NUMBERS)
_SPACE_BEHIND: Final = re.compile(r"\s*+")
# Of letters and a point: "z. B." more often than a bullet, where lines are wrapped.
_SHORT_FORM: Final = re.compile(r"[^\W\d_]{1,3}\.\s")
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
