"""Print sentiment and entities of each statement of a corpus, as they come.

    python examples/five_lines.py [FILE OR FOLDER ...] > results.tsv

Needs the base install (`pip install .`) and a worker: at 127.0.0.1:50051, or at QDA_TARGET. The files may be
of any number and length: texts are read, sent and answered one after the other, in constant memory.
"""

import os
import sys

from qda_worker.client import DEFAULT_TARGET, Client, EntityTask, SentimentTask, read_corpus

files = sys.argv[1:] or ["demo/interview.txt"]

with Client(os.environ.get("QDA_TARGET", DEFAULT_TARGET)) as client:
    texts = (segment.to_text() for segment in read_corpus(files))
    results = client.analyze(texts, [SentimentTask(), EntityTask()])
    for number, (segment, result) in enumerate(zip(read_corpus(files), results, strict=True), start=1):
        label = result.error or (result.sentiment and (result.sentiment.label or result.sentiment.error))
        entities = result.entities.entities if result.entities else ()
        names = ", ".join(f"{entity.text} ({entity.label})" for entity in entities)
        print(segment.id, segment.speaker or "", label, segment.text, names, sep="\t")
        if not sys.stdout.isatty():
            print(f"\r{number} statements", end="", file=sys.stderr)
