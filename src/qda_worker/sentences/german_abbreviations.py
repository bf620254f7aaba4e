"""German abbreviations, and whether the full stop behind a word ends a sentence.

Each abbreviation has a kind, which says what must follow for its full stop to end the sentence as well. Two kinds are
recognized by their form, because notes and answers abbreviate any word: adjectives that lose their ending ("tägl.",
"wöchentl.") and words without a vowel ("vllt.").
"""

import re
from enum import Enum
from typing import Final

from qda_worker.sentences.german_words import (
    AFTER_ORDINALS,
    BEFORE_ORDINALS,
    FORMAL_ADDRESS,
    SENTENCE_OPENERS,
    SHORT_WORDS,
    last_word,
    word_set,
)


class Kind(Enum):
    """What follows an abbreviation whose full stop ends the sentence."""

    TITLE = "nothing: a name, a number or the rest of a phrase always follows"
    MODIFIER = "a word that begins sentences, but no formal address: evtl. Ihre Karte"
    MEASURE = "a word that begins sentences: 5 Min. Danach"
    LIST_END = "any capital: Katzen usw. Verstehen"
    NUMBERED = "anything but a number: Art. 5"


_WORDS_BY_KIND: Final = {
    Kind.TITLE: word_set("""
        abb abs anm bd bde bem bes betr bez bezgl bspl bspw bzgl bzw ca ddr dh dipl doz einschl erg ffm fn fr
        frl fußn geb gebr gefr gegr gez ggb ggü gr habil hg hl hptm hr hrn hrsg ing insb insbes int internat kap
        kgl kl kt lfd lic lit lt mmag mrs ms nachf nat nr nrn oberg oblt oec orig pfr privatdoz rd rer sog st
        tit unterg urspr vergl vgl vol vs wg zb zit zool zw zz
    """),
    Kind.MODIFIER: word_set("""
        abd abg abschn abt abzgl adr akad alleinerz allerd allg allgem altern amb ambul amerik amp anamn angeh
        angest anschl arbeitg arbeitsl aufl ausg ausk bearb bed befr befrist begr beids beisp berufsbegl beschr
        biol bisl brit buchh chem chron derz dgl diab diag dr dt dtsch durchschn ebd ehem ehrl eig eigtl einf
        eingl einschr elektr engl entspr entw erf erstm erw europ ev evang evangel event eventl evt evtl exkl fa
        fam finanz forts franz freiber frz gde gefl gel gelegentl gem gemeinn gepl ges gesch geschw gest getr
        gewerbl ggf ggfs gleichz grds griech gym gymn heizk hist ident inf inkl insg insges ital iur jährl jap
        jew jhrl jun jur kath kathol kfm kompl konst kontr koop körperl kto kurzfr langfr lat led lehrk letztm
        luth männl math max maxim med mehrm mell milit militär mind mindest mittelfr mtl nachtr nachw nebenk
        niederl öff offiz ohneh ökon orient österr päd pat perk persönl phil phys pol polit poln prakt priv prod
        prof prov psych ref reg regelm rel resp röm rückspr russ schätzungsw schül schwed seinerz selbständ
        selbstst sen sinngem soz span spez städt stat stdl stellv stellvertr stud stundenw stv tagsü techn teilw
        teilz temp tgl theol theor ther tlw trad türk übers überw überwieg übl ugs ukr unauff unbefr unbefrist
        unbek unentg ungar ungef ungel univ unregelm unters unv unverb unverst vereinb verf verh verm vermutl
        vers versch verschd verst vertr vertretungsw verw viell vitalz vll vllt vlt vollst vollz vorauss vorh
        vorl vors vorst vorw vorzugsw wahrsch wdh weibl wirtsch wiss zeitw ziem zs zschr zugel zul zus zusätzl
        zzgl
    """),
    Kind.MEASURE: word_set("""
        abds abendbr ag al arb ausb behandl bhf chr co corp ct ff frühst gmbh hbf inc jg jgg jh jhd jhdt jhs jr
        jug kl ltd mill min mio mitarb mon morg mrd nachm nachmitt pers pkt pkte pl proz sek sem sr stck std stdn
        stk tel tg tsd verl verpfl vorb vorm vormitt wch whg wohng zi
    """),
    Kind.LIST_END: word_set("ect etc oä ua uam uä usf usw uva uvm"),
    Kind.NUMBERED: word_set("anl art bl par para rn rz str tab tz ziff"),
}
ABBREVIATIONS: Final = {word: kind for kind, words in _WORDS_BY_KIND.items() for word in words}

# Abbreviations whose small letters, or whose capital, make another word: "die Mo. Gruppe", "so.", "Ich mag. Mutter".
DAYS: Final = word_set("Mo Di Mi Do Fr Sa So")
MONTHS: Final = word_set("Jan Feb Febr Mär Apr Jun Jul Aug Sep Sept Okt Nov Dez")
_CALENDAR: Final = DAYS | MONTHS | {"Wo"}
_NAMES_OF_MONTHS: Final = word_set("Jan Jul Jun")
_TITLES_WRITTEN_LARGE: Final = word_set("Mag Dir Phil Gen Red Sen Med")
_NAMES_AND_NOUNS: Final = word_set("Bed Event Franz Gel Ges Led Max Maxim Span")
_ACADEMIC: Final = word_set("med phil jur iur rer nat theol pol oec ing techn agr vet dent h c mult habil")
# Chains of abbreviations, without blanks and in lower case.
_CHAINS_AT_END: Final = word_set("""
    u.v.m u.v.a u.a.m u.s.w u.s.f u.ä o.ä u.v.a.m v.chr n.chr k.a u.dgl o.dgl v.u.z n.u.z s.o s.u d.j d.m p.a o.b
    u.ae o.ae b.b n.n d.verf d.red m.m
""")
_CHAINS_NEVER_AT_END: Final = word_set(
    "z.b d.h i.e s.s m.a.w i.s.v z.hd i.s.d u.z b.z.w o.g u.g s.g g.g z.zt i.allg"
)
_CHAINS: Final = _CHAINS_AT_END | _CHAINS_NEVER_AT_END
# Nouns that a single letter names: "Vitamin C.", "Plan B."
_NAMED_BY_LETTER: Final = word_set("""
    vitamin plan typ gruppe klasse hepatitis person team abschnitt teil punkt variante note buchstabe zone block bau
    anhang anlage haus eingang gleis stufe phase kategorie omega
""")
# Units are written without a full stop, so one behind them ends the sentence: "80 kg.", "3 m.".
_UNITS: Final = word_set("""
    bpm chf cl cm db dl eur gb hz kb kcal kg km kw kwh mb mg mhz ml mm mmhg mmol qkm qm usd \u00b5g \u03bcg
""")
_UNIT_LETTERS: Final = "ghlmt"
# Words that show the next one to be a noun: "auf diese Art. 20 Leute", "in der wg. ist teuer".
_BEFORE_NOUN: Final = {
    "art": word_set("diese dieser eine einer meine seine ihre unsere jede keine andere welche deine"),
    "wg": word_set("der die diese dieser eine einer meine meiner seine ihre unsere unserer keine deine"),
}
_AFTER_NUMBERS: Final = AFTER_ORDINALS | word_set("und oder bis sowie bzw")
_BEFORE_MONTHS: Final = word_set("anfang mitte ende im seit bis ab von")

_CHAIN: Final = re.compile(r"(?<!\w)(?:[^\W\d_]\.\s?){1,3}[^\W\d_]{1,4}\Z")
_LAST_WORD: Final = re.compile(r"\w+\Z")
_INVISIBLE: Final = str.maketrans("", "", "\u00ad\u200b\u200c\u200d\u2060\ufeff")
_ADDRESS: Final = re.compile(r"@|//|www\.|[^\W\d_]\w+\.\w\w")
# What stands before the last part of an address.
_WITHIN_ADDRESSES: Final = frozenset("./@-_?=&#:~+%")
# Numerals of rulers and volumes. "C." and "D." alone are rather initials.
_ROMAN: Final = re.compile(r"[IVX]{1,6}\Z")
_DAY_AND_MONTH: Final = re.compile(r"\d\.\s*\d{1,2}\Z")
_ORDINALS: Final = re.compile(r"\d\.\s?(?:und|bis|oder|sowie|[/–-])\s?\d+\Z")
_BEFORE_LIST_NUMBER: Final = re.compile(r"[\W_]*(?:[^\W\d_]{1,20}(?: ?\w{1,3})?:[\W_]*)?\Z")
# Words between which and a noun a small number is rather an ordinal: "als 4. Kind", "aus 1. Ehe".
_BEFORE_RANKS: Final = word_set("als auf aus bei nur")
_LARGEST_RANK: Final = 12
_COMPARISON: Final = re.compile(r"(?:\w{2}er|mehr) als \d+\Z")
_YEAR: Final = re.compile(r"(?:1[5-9]|20)\d\d\Z")
_SHORTENED_ADJECTIVE: Final = re.compile(
    r"[a-zäöüß]+(?:[bcdfgkmnpstzw]|hr|ch)l\Z|[a-zäöüß]*[aeiouäöü][a-zäöüß]*(?:[bdgkptz]r|[lnrt]v|w)\Z"
    r"|[a-zäöüß]{2,}(?:[^o]ol|log)\Z|[a-zäöüß]*(?:jähr|stünd|minüt|wöch|köpf)\Z"
)
# Consonants that end no word of German but a shortened one: "Anh.", "Entz.", "Vorerkr.".
_UNSPEAKABLE: Final = re.compile(
    r"(?:[bcdfkpqstvxz]h?[mn]|[bcdfgklmnpqstvwxz]h?r|[bcdfgkmnpt]l|[lmnr]h|[bdfgklmnprst][vwj]|[bhkt]f|t[bdk]|[bg]k"
    r"|[bcdfhkmpstvwxz]g|[bcdfgkpstl]lg|hng)\Z"
)
_NOT_SHORTENED: Final = word_set("analog bissl dirndl interview review view show crew pow wow now")
_VOWELS: Final = "aeiouäöü"
_ENDS_OF_SHORTENED: Final = "bdfghjkmnr"
_SPEAKABLE_ENDS: Final = word_set("ch ck ff hm hn ld lf mm nd ng nn rb rd rf rg rk rm rn")
# Words up to this length may be abbreviations that depend on their neighbours.
_LONGEST_SHORT_WORD: Final = 4
_WITHOUT_VOWEL: Final = re.compile(r"[b-df-hj-np-tv-xzß]{3,}\Z", re.IGNORECASE)


def full_stop_ends_sentence(before: str, word: str, *, whole: bool, verb_first: bool = False) -> bool:
    """Return whether a single full stop ends the sentence.

    Args:
        before: the end of the sentence before the full stop.
        word: the word that follows, not in lower case; empty for none.
        whole: whether `before` is the whole sentence.
        verb_first: whether a subject follows `word`, which then is a verb: "Klingeln Sie".
    """
    before = before.translate(_INVISIBLE)
    word_before, last = _last_words(before)
    if not last:
        return True
    opens = verb_first or word.lower() in SENTENCE_OPENERS
    if last.isdecimal():
        return _number_ends(before, word_before, last, word, opens=opens, whole=whole)
    kind = _kind(before, word_before, last, word)
    if len(last) == 1 or _chain(before) in _CHAINS:
        return _letter_ends(before, word_before, last, word, opens=opens, whole=whole)
    if kind is None:
        return not (_ROMAN.match(last) and (not opens or (whole and _is_list_head(before, last))))
    match kind:
        case Kind.TITLE:
            return False
        case Kind.MODIFIER:
            return opens and word.lower() not in FORMAL_ADDRESS
        case Kind.MEASURE:
            return opens
        case Kind.LIST_END:
            return not word[:1].isdecimal() or _YEAR.match(word) is not None
        case Kind.NUMBERED:
            return not word[:1].isdecimal()


def is_long_plain_word(word: str) -> bool:
    """Return whether a word is certainly no abbreviation; fast, and False for many words that are none either."""
    if len(word) <= _LONGEST_SHORT_WORD or not word.isalpha() or word[-1] in "lvw" or not word[-1].islower():
        return False
    voiced = word[1] in _VOWELS or word[2] in _VOWELS
    ending = word[-1] not in _ENDS_OF_SHORTENED or word[-2] in _VOWELS or word[-2:] in _SPEAKABLE_ENDS
    return voiced and ending and word.lower() not in ABBREVIATIONS


def is_plain_word(before: str, word: str = "") -> bool:
    """Return whether the word that ends `before` is no abbreviation, so that a small letter may begin a sentence.

    A number is none where all is in small letters and `word`, which follows, is nothing that is counted.
    """
    before = before.translate(_INVISIBLE)
    word_before, last = _last_words(before)
    if last.isdecimal():
        return before[:1].islower() and not (word_before.lower() in BEFORE_ORDINALS or word in _AFTER_NUMBERS)
    if len(last) < 3 or not last.isalpha():
        day = last in DAYS and word_before.lower() in {"am", "bis", "und"}
        short = last.lower() in SHORT_WORDS or word_before.lower() in _BEFORE_NOUN.get(last.lower(), ())
        return short and not day and not before[: -len(last)].endswith(".")
    if before[: -len(last)].endswith("."):
        return _ADDRESS.search(last_word(before)) is not None
    kind = _kind(before, word_before, last, "")
    noun = kind is None or (kind is Kind.NUMBERED and last.lower() in {"art", "tab"})
    return noun and not _ROMAN.match(last)


def _last_words(before: str) -> tuple[str, str]:
    """Return the last but one word, with its punctuation, and the letters and digits that end `before`."""
    if not before or before[-1].isspace():
        return "", ""
    parts = before.rsplit(None, 2)
    last = _LAST_WORD.search(parts[-1])
    return (parts[-2] if len(parts) > 1 else ""), (last[0] if last else "")


def _kind(before: str, word_before: str, last: str, word: str) -> Kind | None:
    """Return the kind of abbreviation that `last` is, or None for a plain word."""
    number_follows = word[:1].isdecimal()
    first = before.lstrip("„\"'»([*-–•> ") == last
    if last in _CALENDAR:
        return _calendar_kind(word_before, last, word, number_follows=number_follows)
    if last in _TITLES_WRITTEN_LARGE and not (word_before[:3] == "Dr." and last.lower() in _ACADEMIC):
        titled = first or word_before.endswith(".") or word_before in {"Frau", "Herr", "Herrn"}
        return Kind.TITLE if titled and not number_follows else None
    lower = last.lower()
    kind = ABBREVIATIONS.get(lower)
    attached = before[-len(last) - 1 : -len(last)] in _WITHIN_ADDRESSES
    if attached and kind is not Kind.NUMBERED and _ADDRESS.search(last_word(before)):
        return None  # www.amt.st, index.html
    if kind is None:
        if lower in _UNITS or before[: -len(last)].endswith(("'", "’")):
            return None  # 5 kg., d'or.
        if lower in _ACADEMIC and word_before.rstrip(".").lower() in {"dr", "prof", "mag", "lic", *_ACADEMIC}:
            return Kind.TITLE
        return _kind_by_form(lower if first else last, lower, number_follows=number_follows)
    spelled = len(last) > 1 and last.isupper() and lower not in {"ag", "ps"}
    if spelled and not (len(word) > 1 and word.isupper()):
        return None  # FR., ALT.: acronyms
    if kind is Kind.MODIFIER and last in _NAMES_AND_NOUNS and not (first or number_follows):
        return None
    if lower in {"art", "wg"} and word_before.lower() in _BEFORE_NOUN[lower]:
        return None
    return kind


def _calendar_kind(word_before: str, last: str, word: str, *, number_follows: bool) -> Kind | None:
    """Return the kind of a day, a week or a month. Without a number, "Jan" is rather a name: "Wir waren bei Jan."."""
    if last == "Fr" and word.lower() not in SENTENCE_OPENERS:
        return Kind.TITLE
    if last not in _NAMES_OF_MONTHS:
        return Kind.MEASURE
    beside = number_follows or word_before[:1].isdecimal() or word_before.lower() in _BEFORE_MONTHS
    return Kind.MEASURE if beside else None


def _kind_by_form(last: str, lower: str, *, number_follows: bool) -> Kind | None:
    if lower.endswith("str"):
        return Kind.NUMBERED if number_follows else Kind.MEASURE  # Hauptstr.
    if _WITHOUT_VOWEL.match(last) and not last.isupper() and lower not in SHORT_WORDS:
        return Kind.MODIFIER
    if not last.isupper() and (_UNSPEAKABLE.search(lower) or (len(last) == 2 and lower not in SHORT_WORDS)):
        return Kind.MODIFIER
    if _SHORTENED_ADJECTIVE.match(last) and last not in _NOT_SHORTENED:
        return Kind.MODIFIER
    return None


def _letter_ends(before: str, word_before: str, last: str, word: str, *, opens: bool, whole: bool) -> bool:
    """Return whether an initial or a chain of short forms ends the sentence: "Frau K.", "u. v. m."."""
    chain = _chain(before)
    if chain:
        if chain in _CHAINS_AT_END:
            return not word[:1].isdecimal() or _YEAR.match(word) is not None
        return opens and word.lower() not in FORMAL_ADDRESS and chain not in _CHAINS_NEVER_AT_END
    if whole and _is_list_head(before, last):
        return False
    if last in _UNIT_LETTERS and word_before[-1:].isdecimal():
        return True
    if word_before.lower() in _NAMED_BY_LETTER and last.isupper():
        return not word[:1].isdecimal()
    return opens and not before[: -len(last)].endswith(".")


def _chain(before: str) -> str:
    """Return the short forms that end `before`, without blanks and in lower case ("u.v.m"); empty if it is one word."""
    found = _CHAIN.search(before)
    return "".join(found[0].split()).lower() if found else ""


def _number_ends(before: str, word_before: str, last: str, word: str, *, opens: bool, whole: bool) -> bool:
    head = before[: -len(last)]
    if whole and _is_list_head(before, last):
        return _YEAR.match(last) is not None  # "1. Erstens": the number belongs to what it counts
    if len(last) <= 2 and (head.endswith((": ", ":\u00a0")) or _follows_number(head, last)):
        return False
    if word[:1].isdecimal() and _DAY_AND_MONTH.search(before):
        return False
    if head[-2:-1].isdecimal() and head[-1] in ",:":
        return True  # bei 39,4. Paracetamol gegeben.
    preceding = word_before.lower()
    if word.lower() in AFTER_ORDINALS and word.lower() != preceding:
        return False  # but: auf Stufe 1. Stufe 2 ist schwerer.
    if len(last) > 3 or opens:
        return True
    adjective = preceding.endswith("es") and len(preceding) > 4
    small = int(last) <= _LARGEST_RANK and preceding in _BEFORE_RANKS and not _COMPARISON.search(before)
    return not (preceding in BEFORE_ORDINALS or adjective or small or _ORDINALS.search(before))


def _follows_number(head: str, last: str) -> bool:
    """Return whether `last` numbers the next thing of a list within the sentence: "1. Ruhe, 2. Zeit und 3."."""
    if not head.rstrip().endswith((",", " und", " oder")) or int(last) <= 1:
        return False
    return re.search(rf"(?<!\d){int(last) - 1}[.)]\s", head) is not None


def _is_list_head(before: str, last: str) -> bool:
    """Return whether nothing but a bullet, a mark or a label precedes `last`."""
    return _BEFORE_LIST_NUMBER.match(before, 0, len(before) - len(last)) is not None
