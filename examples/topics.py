"""Group the statements of a corpus by topic: density-based clusters of their vectors, named by their frequent words.

    python examples/topics.py [FILE OR FOLDER ...]

Needs `pip install . -r examples/requirements.txt` and a worker: at 127.0.0.1:50051, or at QDA_TARGET.

HDBSCAN chooses the number of topics and leaves out statements that belong to none. MIN_SIZE is what to change: 2 suits
the 39 statements of the demo; with some hundreds, begin with 5 to 10. Topics are proposals for coding, not findings.
BERTopic takes the same vectors: `BERTopic(embedding_model=None).fit_transform(texts, vectors)`.
"""

import os
import sys
from collections.abc import Sequence
from typing import Final

import numpy as np
from sklearn.cluster import HDBSCAN
from sklearn.feature_extraction.text import TfidfVectorizer

from qda_worker.client import DEFAULT_TARGET, Client, Segment, read_corpus

MIN_SIZE: Final = 2  # statements of the smallest topic
WORDS: Final = 4  # that name a topic
WORD: Final = r"[^\W\d_]{4,}"


def name_topics(topics: Sequence[Sequence[Segment]]) -> list[str]:
    """Return for each topic the words that are frequent in it and rare in the others."""
    vectorizer = TfidfVectorizer(token_pattern=WORD, sublinear_tf=True)
    weights = vectorizer.fit_transform(" ".join(each.text for each in topic) for topic in topics).toarray()
    words = vectorizer.get_feature_names_out()
    return [", ".join(words[np.argsort(-row, kind="stable")[:WORDS]]) for row in weights]


def main(files: Sequence[str]) -> None:
    """Print the topics, the greatest first, with their statements."""
    segments = list(read_corpus(files))
    with Client(os.environ.get("QDA_TARGET", DEFAULT_TARGET)) as client:
        answer = client.embed([segment.to_text() for segment in segments], normalize=True)
    answered = [segment for segment, result in zip(segments, answer, strict=True) if result.ok]
    vectors = np.stack([np.asarray(result.dense) for result in answer if result.ok])

    numbers = HDBSCAN(min_cluster_size=MIN_SIZE, min_samples=1, copy=True).fit_predict(vectors)
    topics = [[answered[i] for i in np.flatnonzero(numbers == topic)] for topic in range(max(numbers) + 1)]
    topics.sort(key=len, reverse=True)
    for name, topic in zip(name_topics(topics) if topics else [], topics, strict=True):
        print(f"{name} ({len(topic)} statements)")
        for segment in topic:
            print(f"  {segment.speaker or segment.source}: {segment.text}")
        print()
    print(f"{np.count_nonzero(numbers < 0)} of {len(answered)} statements belong to no topic.")


main(sys.argv[1:] or ["demo/interview.txt"])
