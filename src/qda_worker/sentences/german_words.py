"""Word lists of the German sentence rules: function words, and what precedes or follows numbers. All in lower case."""

from typing import Final


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text as a set."""
    return frozenset(text.split())


# Words that are normally in lower case: if they are capitalized, a sentence begins. No word that is also a noun or a
# common surname is among them: after "A.", "5 Min." or "im 3." it would end a sentence that goes on.
SENTENCE_OPENERS: Final = word_set("""
    aber ach ah alle allem allen aller allerdings alles als also an andere anderen anderes anders anfangs
    anschließend auch auf aus außer außerdem bei beide beim bestimmt bevor bin bis bisher bist bitte da dabei
    dadurch dafür dagegen daher damals damit danach daneben dann daran darauf daraufhin daraus darin darüber
    darum darunter das dass davon davor dazu dein deine deinen deiner dem den denen denn dennoch der deren
    derzeit des deshalb dessen deswegen dich die dies diese diesem diesen dieser dieses doch dort dorthin du
    durch dürfen durfte ebenfalls ebenso eben egal eher eigentlich ein eine einem einen einer einerseits eines
    einfach einige einmal endlich entweder er erst erstens es etwas euch euer eure falls fast ferner folglich
    früher für ganz gegen genau genauso genug gerade gestern gibt ging gleich haben habe hallo hast hat hatte
    hatten hätte heute heutzutage hier hiermit hierzu hinterher hinzu hoffentlich ich ihm ihn ihnen ihr ihre
    ihrem ihren ihrer im immer immerhin in indem insgesamt inzwischen irgendwann irgendwie irgendwo ist ja je
    jede jedem jeden jedenfalls jeder jedes jedoch jemand jene jetzt kam kann kannst kaum kein keine keinen
    keiner keines könnte könnten konnte leider letztendlich letztlich man manche manchmal mehr mehrere mein
    meine meinem meinen meiner meines meist meistens mich mir mit mittags mittlerweile möglicherweise morgen
    morgens musste muss müssen nach nachdem nachher nachmittags nachts natürlich nebenbei nee nein neulich nicht
    nichts nie niemals niemand niemanden nirgends noch nochmal normalerweise nun nur ob oben obwohl oder oft
    oftmals ohne ok okay plötzlich quasi schade schließlich schon sehr sein seine seinem seinen seiner seit
    seitdem selbst selten sich sie sind so sobald sodass sofort sogar solange solche soll sollte somit sondern
    sonst soweit sowie später statt stattdessen tja trotz trotzdem über überall überhaupt übrigens um umso und
    ungefähr uns unser unsere unserem unseren unserer unten unter viel viele vielen vielleicht vom von vor
    vorher vorhin während wahrscheinlich wann war waren warum was weder wegen weil weiter weiterhin welche
    welcher welches wem wen wenigstens wenn wer werden weshalb wessen wie wieder wieso wieviel will willst wir
    wird wirklich wo wobei wodurch wofür woher wohin wohl wollte womit worüber worum wovon wozu wurde wurden
    würde zu zudem zuerst zufällig zuletzt zum zumindest zunächst zur zurück zusätzlich zwar zweitens zwischen
    mindestens höchstens drittens genauer dasselbe derselbe dieselbe ähnlich andererseits gern gerne oh hm naja
    nö jep klar danke am geht stimmt passt reicht kommt darf sollen können wollen musst müsst seid bekomme
    bekommt finde findet denke glaube lass lasst schau frag sag warst wäre wären brauche braucht rufen bringen
    nehmt jedesmal ab bzgl dafürhalten woran worauf wieviele ebensowenig hingegen nichtsdestotrotz dieselben
    irgendwer irgendwas irgendein irgendeine jemandem niemandem nichtmal beinahe drinnen draußen drüben vielmehr
    weitaus zeitweise teilweise größtenteils hauptsächlich insbesondere beispielsweise eventuell sicherlich
    sicher tatsächlich offenbar anscheinend vermutlich notfalls zugegeben ehrlich kurzum ansonsten demnächst
    bald bloß besser lieber schlimmer schlechter weniger wenige hinten vorne links rechts nirgendwo jener jenes
    jenen montags dienstags mittwochs donnerstags freitags samstags sonntags werktags abends vormittags
    frühmorgens zuhause seither freilich immerzu meinetwegen na oje ups puh achso jawohl möchte möchten hab habt
    hättest mussten durften sollten wollten würden würdest wärst könntest solltest sollst darfst dürfte dürften
    müsste müssten bräuchte wirst werdet wurdest hört hörte sagt sagte meint meinte macht machte nahm nimmt
    nehme isst trinkt schläft liegt lag sitzt saß läuft lief bleibt blieb fährt fuhr arbeitet arbeite wohnt
    wohne lebt lebe mache gehe komme fahre esse trinke schlafe hoffe freue wünsche wusste dachte dachten gab
    gefällt fehlt fehlte hilft half lohnt kostet kostete dauert dauerte funktioniert klappt klappte gehört
    herzlichen guten gute guter gutes super prima schlimm traurig komisch lustig wichtig schwierig teuer billig
    letzte letztes letzten letzter nächste nächstes nächsten nächster zwei drei vier fünf sechs sieben acht neun
    zehn zwölf übermorgen vorgestern neuerdings seinerzeit zeitgleich währenddessen zwischendurch unterdessen
    erneut mitten etwa circa allzu ausgerechnet dazwischen dahinter drauf dran drin fertig gemeinsam zusammen
    allein alleine langsam schnell daheim gegenüber nämlich angeblich womöglich allenfalls jeglicher derjenige
    diejenigen diejenige manches mancher manchen vieles einiges keins eins meins solcher solches sämtliche
    etliche mehreren beides welchen welchem unseres deines irgendjemand irgendetwas irgendeiner sofern insofern
    soviel anstatt anstelle bezüglich aufgrund gemäß innerhalb außerhalb hinter neben wohingegen wonach worin
    weswegen sprich zumal nimm geh komm mach gib ruf denk melde habs gabs wars gings hattest fand fanden ließ
    blieben gingen kamen lagen standen steht saßen wohnten wohnte lebte lebten arbeitete arbeiteten sagten
    meinten machten nahmen bekam bekamen merkte merkt verstehe verstand kenne kannte wusstest weißt sehe sah
    freundlich zufrieden unzufrieden möglichst sonstige nebenher
""")

# Openers that are also the formal address, which is capitalized within a sentence.
FORMAL_ADDRESS: Final = word_set("sie ihr ihre ihrem ihren ihrer ihres ihnen")

# Words in lower case that begin a sentence also where the one before began with a capital. Behind an abbreviation that
# is not known, other words are more likely.
SMALL_OPENERS: Final = word_set("""
    aber alles also bin da dann danach danke das dort du er es hab habe ich ja kein keine leider man mein meine na naja
    nee nein nö ok sie sonst trotzdem vielleicht wann warum wenn wieso wir würde
""")

# Words that cannot end a sentence: after them, the sentence continues on the next line.
CONTINUING_WORDS: Final = word_set("""
    als am an auf aus bei bis dass das dem den der des die durch ein eine einem einen einer eines für gegen im in
    mit nach oder ohne seit sondern sowie über um und unter vom von vor während weil wenn zu zum zur zwischen
""")

# Words after which the thing named must follow: behind them, an ellipsis or an emoji is an interruption.
EXPECTANT_WORDS: Final = CONTINUING_WORDS | word_set("""
    aber alle also beim bin dann dein deine denn dieser diese dieses du er es etwa hab habe haben hat hatte hatten
    ich ihr ihre ins ist jede jeden jeder jedes kein keine keinen man mein meine meinen meiner nur sehr sein seine
    seinen sie sind so unser unsere viel viele war waren wie wir wird wurde wurden liebe lieben liebt mag mögen
    brauche
""")

# Words that an emoji interrupts: "Mein ❤️ Kind", "Ich liebe ❤️ Hunde".
INTERRUPTED_WORDS: Final = word_set("""
    als am bis dass dein deine dem den der des die ein eine einem einen einer eines für gegen ich ihre im in liebe
    lieben liebt mein meine meinen meiner oder ohne sein seine und unser unsere viele vom von weil wenn wir zum zur
    zwischen
""")

# Verbs that announce speech; with their subject they follow a quotation: "Wer da? fragte sie."
SPEECH_VERBS: Final = word_set("""
    antwortet antwortete bat brüllte dachte denkt entgegnete erklärte erwiderte flüsterte fragt fragte fragten hieß
    lachte meint meinte meinten murmelte rief riefen ruft sagt sagte sagten schreit schrie seufzte sprach spricht
    wollte
""")

# Finite verbs that often come second in a sentence.
SECOND_VERBS: Final = word_set("""
    arbeiten arbeitet arbeitete aß bin bleibt blieb blieben braucht dachte darf dauert dauerte denkt durfte fand
    fehlen fehlt fehlte findet fing fragt fragte fuhr fährt gab gefiel gefällt geht gehört gibt ging habe haben
    half hat hatte hatten heißt helfen hieß hilft hätte isst ist kam kamen kann kommt konnte kostet kostete
    könnte lacht lachte lag las leben lebt lebte liebt liebte lief liegt liest ließ macht machte mag meint
    meinte mochte muss musste möchte müsste nahm nimmt passt passte reicht reichte rief ruft sagt sagte sah saß
    schlief schläft schreibt schrieb sind sitzt soll sollte sollten spielt spielte sprach spricht stand starb
    steht trinkt trug trägt war waren wartet wartete weint weinte weiß werden will wird wohnen wohnt wohnte
    wollen wollte wurde wurden wusste wussten wäre würde würden zahlen zahlt zahlte
""")

# Words that follow an ordinal number such as "3.".
AFTER_ORDINALS: Final = word_set("""
    januar jänner februar feber märz april mai juni juli august september oktober november dezember jan feb mär
    apr jun jul aug sep sept okt nov dez jahrhundert jahrhunderts jahrhunderte jahrhunderten jahrtausend
    jahrtausends jh jhd jhdt weltkrieg weltkriegs weltkrieges advent bundesliga etage geburtstag hochzeitstag
    jahrestag klasse lebensjahr lebensjahres lebenswoche liga obergeschoss og quartal schuljahr
    schwangerschaftswoche semester ssw stock stockwerk todestag lehrjahr lehrjahrs lehrjahres halbjahr mal ehe
    versuch tag tages woche monat jahr jahres reihe schicht runde stufe grad schritt auflage instanz vorsitzende
    vorsitzender spieltag minute stunde hälfte trimester weihnachtstag weihnachtsfeiertag feiertag schultag
    arbeitstag lebensmonat ausbildungsjahr studienjahr dienstjahr schulwoche arbeitsmarkt fastensonntag
    adventssonntag bürgermeister bildungsweg jahrgang
""")

# Words that precede an ordinal number, and rarely a number that ends a sentence.
BEFORE_ORDINALS: Final = word_set("""
    am beim das dein deine deinem deinen deiner dem den der des die diese diesem diesen dieser dieses ein eine
    einem einen einer eines euer eure eurem euren eurer ihr ihre ihrem ihren ihrer im in ins jede jedem jeden
    jeder jedes jene jenem jenen jener jenes kein keine keinem keinen keiner mein meine meinem meinen meiner
    nach sein seine seinem seinen seiner seit unser unsere unserem unseren unserer vom vor welche welchem
    welchen welcher welches zum zur zweiter
""")

# Short words that end sentences; other words of at most two letters before a full stop are taken for abbreviations.
SHORT_WORDS: Final = word_set("""
    ab ah an da du eh er es ey hä hm ha in ja je ne nö na nu oh ok ob oi so tu um uh wo zu äh öh ui lol kp lg vg np
    omg wtf btw hdl idk tbh xd jo joa mhm hmm pst psst brr pff tz hi ho he yo no go is ma pa wa ei öl po bo ed wu
    su au la
""")


def first_word(text: str) -> str:
    """Return the characters up to the first blank after the first word; empty if there is no word."""
    words = text.split(None, 1)
    return words[0] if words else ""


def last_word(text: str) -> str:
    """Return the characters after the last blank before the last word; empty if there is no word."""
    words = text.rsplit(None, 1)
    return words[-1] if words else ""
