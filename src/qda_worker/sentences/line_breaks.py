"""Whether a line break ends a sentence of a German text.

An empty line ends a sentence, and so does a single line break, as in Unicode's rules (UAX #29). It does not if the line
ends in a comma, a hyphen or a word such as "und", if the next line starts in lower case, or if the break is a wrap
(`is_line_wrap`). A line that begins with the label of a speaker, a bullet or a list number always begins a sentence,
and so does each of three or more short lines, which are a list. In a cue of subtitles every break is a wrap.

Wraps: reports and e-mails are often hard-wrapped, and every second line of German then starts with a capital. In
wrapped text each line is as full as its next word allows, except the last one of a paragraph. The lines of lists and
answers have any length.
"""

import re
from itertools import pairwise
from typing import Final

from qda_worker.sentences.german_words import CONTINUING_WORDS, SENTENCE_OPENERS, last_word
from qda_worker.sentences.transcription_marks import EMOJI_RUN, SMILEY, TIME_MARK, is_label, is_label_alone

LINE_BREAKS: Final = "\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
LINE_END: Final = re.compile(rf"\r\n|[{LINE_BREAKS}]")
NEXT_WORD: Final = re.compile(r"[^\w\s]{0,4}(\w{1,40})")

# Letters and a full stop: in wrapped lines more often an abbreviation ("z. B.") than a bullet.
_SHORT_FORM: Final = re.compile(r"[^\W\d_]{1,3}\.\s")
_BULLET: Final = re.compile(r"[-–—•*·>✓✔✗✘☐☑►▪●○◦➢➤→]\s|o\s(?=[A-ZÄÖÜ])|\(?\w{1,3}[.):]\s|[^\W\d_]{1,20}:\s")
_POINTED: Final = re.compile(r"\w{1,3}\.\s")
# A line that begins a letter.
_SALUTATION: Final = re.compile(
    r"\s{0,3}(?:Sehr geehrte|Lieb(?:e|er|es)|Hallo|Hi|Hey|Moin|Servus|Guten [A-Z]\w{2,9})\b[^,.!?:]{0,50},\s*\Z"
)
# An article and adjectives, whose noun is still to come: "eine sehr gute".
_INCOMPLETE: Final = re.compile(r"\b[Ee]ine?[nmrs]? (?:[a-zäöüß]{3,20} )?[a-zäöüß]{3,20}e[nmrs]?\Z")
_DIALOGUE: Final = re.compile(r"[-–—]\s?\w|\[|\(|>>")
_ENDS_PARAGRAPH: Final = re.compile(r"[.!?…:][\"'“”‘’»«›‹)\]]*\Z")
_ENDS_IN_EMOJI: Final = re.compile(rf"(?:{EMOJI_RUN}|{SMILEY})\Z")
_TIME_AT_START: Final = re.compile(TIME_MARK)
_CONTINUES_LIST: Final = re.compile(r"(?:und|oder|aber|weil|dass|denn|sondern|wenn|als|wie|sowie)\b")

# Code points at the end of a line that are examined: more than two long words.
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
# Lines of a list without bullets: at least so many, with at most so many words.
_MIN_LIST_LINES: Final = 3
_MAX_LIST_WORDS: Final = 4


def line_break_ends_sentence(text: str, start: int, position: int, after: int, *, in_cue: bool) -> bool:
    """Return whether line breaks end the sentence.

    Args:
        text: the whole text.
        start: where the sentence begins.
        position: where the first line break is.
        after: where the next line with text begins.
        in_cue: whether the break is within a cue of subtitles.
    """
    if after >= len(text):
        return True
    label_alone = position - start <= _LOOKBEHIND and is_label_alone(text[start:position])
    if label_alone and not is_label(text, after):
        return False
    if len(LINE_END.findall(text, position, min(after, position + _LOOKBEHIND))) > 1:
        return True
    before = text[max(start, position - _LOOKBEHIND) : position].rstrip()
    if not before or is_label(text, after):
        return True  # punctuation has ended it already, or another speaker begins
    if in_cue:
        return _DIALOGUE.match(text, after) is not None
    bullet = _BULLET.match(text, after) is not None
    open_end = before.endswith((",", "-", "\u00ad", "/", "(")) and not bullet
    if open_end:
        return position - start <= _LOOKBEHIND and _SALUTATION.match(text, start, position) is not None
    unfinished = before.rpartition(" ")[2].lower() in CONTINUING_WORDS
    if unfinished and (not bullet or _POINTED.match(text, after)):
        return False  # am / 3. Mai
    if _TIME_AT_START.match(text, after) or _ENDS_IN_EMOJI.search(before):
        return True
    return (bullet and not _SHORT_FORM.match(text, after)) or not _goes_on(
        text, position, after, before, bullet=bullet
    )


def _goes_on(text: str, position: int, after: int, before: str, *, bullet: bool) -> bool:
    """Return whether a sentence that may go on in the next line does."""
    found = NEXT_WORD.match(text, after)
    word = found[1] if found else ""
    if word and _INCOMPLETE.search(before) and word.lower() not in SENTENCE_OPENERS:
        return True
    if word[:1].islower() and not bullet:
        return not _is_list(text, position, after)
    return is_line_wrap(text, position, after)


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
    lines = _paragraph(text, position, next_line)
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


def _is_list(text: str, position: int, next_line: int) -> bool:
    """Return whether the lines around a break are a list without bullets, though the next one is in lower case."""
    lines = _paragraph(text, position, next_line)
    return (
        len(lines) >= _MIN_LIST_LINES
        and all(len(line) <= _MIN_WRAP_WIDTH and len(line.split()) <= _MAX_LIST_WORDS for line in lines)
        and not any(_CONTINUES_LIST.match(line) for line in lines)
        and not any(line.endswith((",", "-")) or last_word(line) in CONTINUING_WORDS for line in lines)
    )


def _paragraph(text: str, position: int, next_line: int) -> list[str]:
    """Return the lines around a break, at most _WRAP_LINES on either side, up to the next empty ones."""
    before = _lines(text[max(0, position - _WRAP_REACH) : position], from_start=position <= _WRAP_REACH)
    after = _lines(text[next_line : next_line + _WRAP_REACH], to_end=next_line + _WRAP_REACH >= len(text))
    return [*_until_blank(before[::-1])[::-1], *_until_blank(after)]


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
