"""Speed of the German sentence rules on prose, transcripts and texts made to be slow.

Usage: python -m benchmarks.sentences [--kilobytes 100]

The ratio is the time of twice the text to that of the text: 2 is linear, 4 would be quadratic.
"""

import argparse
import sys
import time
from typing import Final

from qda_worker.sentences.german_sentences import sentence_spans

PROSE: Final = (
    "Das war gut, glaube ich. Dann kam der Chef und sagte: „Nein.“ Wir gingen am 3. Mai z. B. nach Hause, denn es war "
    "spät geworden.\n"
)
TRANSCRIPT: Final = (
    "I: Wie war das für Sie? #00:01:02-3#\nB1: Das war schwer (lacht). Ich war (...) allein. #00:01:20-1#\n"
)
# Each is repeated without end: unpaired signs, marks, labels, cues, line breaks, numbers, short words.
REPEATED: Final = (
    *".!?…:;,-/#=<*'\"„“»«()[]{}0aA \t\n\u2028\u00ad\u200b😀¹†",
    *(
        "...",
        ". »",
        "(.)",
        "(lacht) ",
        "[unv.]",
        "//a//",
        "#a ",
        "#00:01:20-1# ",
        "[00:01] I: ",
        "(b) x. ",
        "1.) ",
        "1. ",
    ),
    *(
        "Anh. ",
        "z. B. ",
        "Ja.Nein",
        "www.",
        "a.b",
        ":)",
        "xD ",
        "<v a>",
        "„Ja",
        "und\n",
        "a b c\n",
        "Hallo,\n",
        "\r\n",
    ),
    *("\n \n", "I:\n", "- a\n", "WEBVTT\n", "NOTE\n", "00:01.000 -->", "1\n00:01.000 --> 00:02.000\n"),
)
_SLOWEST: Final = 10


def seconds(text: str) -> float:
    """Return the processor time that the sentences of a text take."""
    start = time.process_time()
    sentence_spans(text)
    return time.process_time() - start


def measure(piece: str, kilobytes: int) -> tuple[float, float]:
    """Return megabytes per second of a repeated piece, and the ratio of twice the text to the text."""
    size = len(piece.encode())
    text = piece * max(1, kilobytes * 1000 // size)
    once, twice = seconds(text), seconds(text * 2)
    return 2 * len(text.encode()) / 1e6 / max(twice, 1e-6), twice / max(once, 1e-6)


def main(argv: list[str]) -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kilobytes", type=int, default=100, help="size of the shorter text of each pair")
    kilobytes = parser.parse_args(argv).kilobytes
    for name, piece in (("prose", PROSE), ("transcript", TRANSCRIPT)):
        speed, ratio = measure(piece, 10 * kilobytes)
        print(f"{name:30} {speed:8.2f} MB/s  ratio {ratio:.1f}")
    rows = sorted((*measure(piece, kilobytes), piece) for piece in REPEATED)
    print(f"The {_SLOWEST} slowest of {len(rows)} repeated pieces:")
    for speed, ratio, piece in rows[:_SLOWEST]:
        print(f"{piece!r:30} {speed:8.2f} MB/s  ratio {ratio:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
