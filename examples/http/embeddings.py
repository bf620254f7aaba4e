"""Print the statements of a transcript that are nearest to a query, with the openai client.

    python examples/http/embeddings.py "Der Bus kommt zu spät." [FILE]

Needs `pip install openai`, and a worker with an HTTP port (`qda-worker serve --http-listen`): at http://127.0.0.1:8080,
or at QDA_URL. QDA_TOKEN is a token, where the worker asks for one. The client asks for vectors in base64 by itself.
"""

import os
import re
import sys
from pathlib import Path

from openai import OpenAI

client = OpenAI(
    base_url=f"{os.environ.get('QDA_URL', 'http://127.0.0.1:8080')}/v1",
    api_key=os.environ.get("QDA_TOKEN", "none"),  # the client insists on one
)
query, file = (*sys.argv[1:], "demo/interview.txt")[:2]
lines = Path(file).read_text("utf-8").splitlines()
statements = [match[1] for line in lines if (match := re.match(r"\w+: (.*?)(?: #[\d:-]+#)?$", line))]

model = client.models.list().data[0].id  # the default for embeddings comes first
# A model with prompts: model=f"{model}:query" for the query, f"{model}:passage" for the statements.
answer = client.embeddings.create(model=model, input=[query, *statements])
first, *others = (item.embedding for item in answer.data)


def similarity(vector: list[float]) -> float:
    """Return the dot product with the query's vector; vectors of the default model have length 1."""
    return sum(one * other for one, other in zip(first, vector, strict=True))


scores = sorted(zip(map(similarity, others), statements, strict=True), reverse=True)
for score, statement in scores[:5]:
    print(f"{score:.3f}  {statement}")
print(f"{answer.usage.total_tokens} tokens, {answer.model}", file=sys.stderr)
