"""Find the statements of a corpus that are nearest to a query, by the vectors of the embedding model.

    python examples/search.py "Der Bus kommt zu spät." [FILE OR FOLDER ...]

Needs `pip install . -r examples/requirements.txt` and a worker: at 127.0.0.1:50051, or at QDA_TARGET. The
corpus is compared in memory, which is fast enough for some 100,000 statements.
"""

import os
import sys
from collections.abc import Sequence
from typing import Final

import numpy as np

from qda_worker.client import DEFAULT_TARGET, Client, read_corpus

NEAREST: Final = 5


def main(query: str, files: Sequence[str]) -> None:
    """Print the nearest statements, the most similar one first."""
    segments = list(read_corpus(files))
    with Client(os.environ.get("QDA_TARGET", DEFAULT_TARGET)) as client:
        asked, *results = client.embed([query, *(each.to_text() for each in segments)], normalize=True)
    if asked.error is not None:
        sys.exit(f"the query: {asked.error}")
    answered = [segment for segment, result in zip(segments, results, strict=True) if result.ok]
    vectors = np.stack([np.asarray(result.dense) for result in results if result.ok])

    similarities = vectors @ np.asarray(asked.dense)  # the cosine, because all vectors have length 1
    for index in np.argsort(-similarities)[:NEAREST]:
        segment = answered[index]
        print(f"{similarities[index]:.2f}  {segment.speaker or segment.source}: {segment.text}")


if len(sys.argv) < 2:
    sys.exit('usage: python examples/search.py "QUERY" [FILE OR FOLDER ...]')
main(sys.argv[1], sys.argv[2:] or ["demo/interview.txt"])
