"""Count how often each speaker's statements are positive, neutral and negative, several interviews at a time.

    python examples/async_stream.py [FILE ...]

Needs the base install and a worker: at 127.0.0.1:50051, or at QDA_TARGET. All files share one connection. If one of
them cannot be read or the worker fails, the streams of the others are cancelled, and the worker drops their texts.
"""

import asyncio
import os
import sys
from collections import Counter

from qda_worker.client import DEFAULT_TARGET, AsyncClient, SentimentLabel, SentimentTask, read_corpus

Counts = dict[str, Counter[SentimentLabel]]


async def count_labels(client: AsyncClient, file: str) -> Counts:
    """Return for each speaker of a file how many statements have each label."""
    speakers = [segment.speaker or "-" for segment in read_corpus([file])]
    texts = (segment.to_text() for segment in read_corpus([file]))
    counts: Counts = {speaker: Counter() for speaker in speakers}
    async for result in client.analyze(texts, [SentimentTask()]):
        if result.sentiment is not None and result.sentiment.label is not None:
            counts[speakers[result.index]][result.sentiment.label] += 1
    return counts


async def main(files: list[str]) -> None:
    """Analyze all files at the same time and print a table."""
    async with AsyncClient(os.environ.get("QDA_TARGET", DEFAULT_TARGET)) as client:
        async with asyncio.TaskGroup() as tasks:
            running = {file: tasks.create_task(count_labels(client, file)) for file in files}
        for file, task in running.items():
            print(file)
            for speaker, counts in task.result().items():
                shares = "  ".join(f"{label} {counts[label]:3}" for label in SentimentLabel)
                print(f"  {speaker:10}  {shares}")


asyncio.run(main(sys.argv[1:] or ["demo/interview.txt"]))
