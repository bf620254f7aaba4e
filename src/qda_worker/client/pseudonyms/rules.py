"""Find what has a fixed shape: mail addresses, telephone numbers, IBANs, web addresses and postal addresses. No I/O.

The rules are for German and international notations. They prefer to find too much: what they find is reviewed before it
is replaced. An IBAN counts only with a right check digit (ISO 7064, MOD 97-10).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from qda_worker.client.pseudonyms.kinds import Kind


@dataclass(frozen=True, slots=True)
class Find:
    """A part of a text that may identify somebody."""

    start: int
    end: int
    kind: Kind


# Not within a word; underscores around mark emphasis, as in "_0221 1234567_".
_BEGINS: Final = r"(?<![^\W_])"
_ENDS: Final = r"(?![^\W_])"
_IBAN: Final = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ \u00a0]?[A-Z0-9]){11,30}(?![A-Za-z0-9])")
_EMAIL: Final = re.compile(
    r"(?<![\w.+-])[\w.!#$%&'*+/=?^`{|}~-]{1,64}(?:@|[ ]?[\[(](?:at|ät)[\])][ ]?)"
    rf"(?:[\w-]{{1,63}}\.){{1,8}}[A-Za-z]{{2,24}}{_ENDS}(?!-)"
)
_URL: Final = re.compile(rf"{_BEGINS}(?<!@)(?:https?://|www\.)[^\s<>\"'„“”«»]{{3,}}", re.IGNORECASE)
# International (+49 …, 0049 …) or with the zero of a German area code; blanks, hyphens, slashes and brackets may
# be between the digits. A date has points, and a time has colons.
_PHONE: Final = re.compile(
    rf"{_BEGINS}(?<![.,:+/-])(?<!\d[ \u00a0])"
    r"(?:(?:\+|00)[1-9]\d{0,2}(?:[ \u00a0/().-]{0,3}\d){5,13}"
    r"|\(?0[1-9]\d{1,4}\)?(?:[ \u00a0/-]{0,3}\d){4,10})"
    rf"{_ENDS}(?!:|[.,]\d)"
)
_STREET: Final = (
    r"(?:stra(?:ß|ss)e|str\.|gasse|allee|chaussee|platz|ufer|damm|ring|weg|steig|stieg|pfad|graben|markt)"
)
_STREET_ALONE: Final = (
    r"(?:Stra(?:ß|ss)e|Str\.|Gasse|Allee|Chaussee|Platz|Ufer|Damm|Ring|Weg|Steig|Pfad|Graben|Markt)"
)
_CAPITAL: Final = r"[A-ZÄÖÜ][\w.-]{1,40}"
_TOWN: Final = r",?[ \u00a0]+(?:D-)?\d{5}[ \u00a0]+[A-ZÄÖÜ](?:[^\W_]|-){1,40}"
_NUMBER: Final = rf"[ \u00a0]\d{{1,4}}(?:[ \u00a0]?[a-z]{_ENDS})?(?:[-/]\d{{1,4}}[a-z]?)?{_ENDS}"
_ADDRESS: Final = re.compile(
    rf"{_BEGINS}(?:(?:{_CAPITAL}[ \u00a0]){{0,2}}[A-ZÄÖÜ][\w-]{{0,40}}?(?:{_STREET}|-{_STREET_ALONE})"
    rf"|(?:{_CAPITAL}[ \u00a0]){{1,2}}{_STREET_ALONE}){_NUMBER}(?:{_TOWN})?"
    # "Im Winkel 3" may be a time, as "Im Sommer 2020", unless a town follows.
    rf"|{_BEGINS}(?:Am|An der|Im|In der|Auf der|Zum|Zur)[ \u00a0][A-ZÄÖÜ][\w-]{{1,40}}{_NUMBER}{_TOWN}"
)
_LENGTHS_OF_IBAN: Final = {"DE": 22, "AT": 20, "CH": 21, "LI": 21, "LU": 20, "FR": 27, "NL": 18, "IT": 27}

# What ends a sentence, and not an address.
_TRAILING: Final = ".,;:!?)]}'*_"


def find_by_rules(text: str) -> list[Find]:
    """Return what the rules find in a text, in order; where rules overlap, the more exact one counts."""
    found: list[Find] = []
    covered = bytearray(len(text))
    for finds in (
        _ibans(text),
        _urls(text),
        _emails(text),
        _matches(_ADDRESS, Kind.ADDRESS, text),
        _phones(text),
    ):
        for each in finds:
            if not any(covered[each.start : each.end]):
                found.append(each)
                covered[each.start : each.end] = b"\1" * (each.end - each.start)
    return sorted(found, key=lambda each: each.start)


def is_iban(text: str) -> bool:
    """Return whether a text is an IBAN with a right check digit, and the length of its country if that is known."""
    compact = re.sub(r"\s", "", text).upper()
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", compact):
        return False
    if len(compact) != _LENGTHS_OF_IBAN.get(compact[:2], len(compact)):
        return False
    digits = "".join(str(int(char, 36)) for char in compact[4:] + compact[:4])
    return int(digits) % 97 == 1


def _ibans(text: str) -> Iterator[Find]:
    for match in _IBAN.finditer(text):
        # Words in capitals may follow; the longest part that is an IBAN counts.
        ends = [
            match.end(),
            *(match.start() + at.start() for at in reversed(list(re.finditer(r"\s", match[0])))),
        ]
        for end in ends:
            if is_iban(text[match.start() : end]):
                yield Find(match.start(), end, Kind.IBAN)
                break


def _emails(text: str) -> Iterator[Find]:
    return _matches(_EMAIL, Kind.EMAIL, text)


def _urls(text: str) -> Iterator[Find]:
    for match in _URL.finditer(text):
        end = match.start() + len(match[0].rstrip(_TRAILING))
        yield Find(match.start(), end, Kind.URL)


def _phones(text: str) -> Iterator[Find]:
    for match in _PHONE.finditer(text):
        digits = sum(char.isdigit() for char in match[0])
        if 7 <= digits <= 15:
            yield Find(match.start(), match.end(), Kind.PHONE)


def _matches(pattern: re.Pattern[str], kind: Kind, text: str) -> Iterator[Find]:
    return (Find(match.start(), match.end(), kind) for match in pattern.finditer(text))
