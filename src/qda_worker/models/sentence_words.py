"""German words by which a point that ends a sentence is told from one that does not."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Abbreviations are letters alone, in lower case, without their points. Those of one letter (S., z. B.) need no list.

NEVER_LAST: Final = _words("""
    abb abs abschn abt adr allg anm aufl ausg bd bde bearb begr beisp bes betr bez bspw bzgl bzw ca dgl dipl dir doz dr
    dt ebd eigtl einschl engl entspr erg erw europ ev evang evtl exkl fa fr frl frz gefr gegr geh gem gen gesch gest gez
    ggf ggfs griech hg hl hr hrn hrsg ing inkl insb insbes insg int internat ital jap jur kap kath kgl kl lat lfd lic
    med mr mrs ms nachf niederl nr oberg orig österr phil poln prof ps rd red ref reg rer röm russ sen sog soz spez st
    stellv stud techn theol trad ungar unterg urspr verf vergl verh verm vgl vol vorl vors wiss zb zit zool zus zz zzgl
""")
"""Abbreviations that something follows: a name, a number, the rest of a phrase."""

SELDOM_LAST: Final = _words("""
    ag al bhf chr co corp etc ff gmbh hbf inc jh jhd jhdt jr km ltd mill min mio mrd pl sek sr std stdn str tel tsd ua
    usf usw uvm uä verl
""")
"""Abbreviations that may be a sentence's last word: it depends on what follows."""

DAYS_AND_MONTHS: Final = _words("Mo Di Mi Do Fr Sa So Jan Feb Febr Mär Apr Jun Jul Aug Sep Sept Okt Nov Dez")
"""The same, but words of other meanings in lower case."""

BEFORE_NUMBERS: Final = _words("art bl par str ziff")
"""Abbreviations, also as a word's end (Hauptstr.), that are such only before a number."""

AFTER_ORDINALS: Final = _words("""
    januar jänner februar feber märz april mai juni juli august september oktober november dezember
    jan feb mär apr jun jul aug sep sept okt nov dez
    jahrhundert jahrhunderts jahrhunderte jahrhunderten jahrtausend jahrtausends jh jhd jhdt
    weltkrieg weltkriegs weltkrieges advent bundesliga etage geburtstag hochzeitstag jahrestag klasse lebensjahr
    lebensjahres lebenswoche liga quartal schuljahr semester stock stockwerk todestag
""")
"""What an ordinal number such as "3." stands before."""

BEFORE_ORDINALS: Final = _words("""
    ab am beim bis das dem den der des die dieser dieses diesem ihr ihre ihrem ihren im in ins jeden jeder jedes mein
    meine meinem meinen meiner nach sein seine seinem seinen seit unser unsere unserem vom von vor zum zur
""")
"""What stands before an ordinal number and hardly before a number that is a sentence's last word."""

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
"""Words that are written with a capital letter because a sentence begins with them."""

GOING_ON: Final = _words("""
    als am an auf aus bei bis dass das dem den der des die durch ein eine einem einen einer eines für gegen im in mit
    nach oder ohne seit sondern sowie über um und unter vom von vor während weil wenn zu zum zur zwischen
""")
"""Words that a line does not end with unless its sentence goes on in the next."""
