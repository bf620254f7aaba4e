"""LangChain and Haystack as they are published, against a worker. They are in an environment of their own."""

import json
import os
import subprocess
from pathlib import Path
from typing import Final

import grpc
import numpy as np
import pytest

from qda.v1 import embedding_pb2, embedding_pb2_grpc, text_pb2
from tests.service.worker.process import ServeProcess

ROOT: Final = Path(__file__).parents[2]
PYTHON: Final = ROOT / ".venv-openai/bin/python"
PROGRAM: Final = Path(__file__).with_name("frameworks.py")
MODEL: Final = "tiny-embedding"
TEXTS: Final = ["Der Bus kam heute wieder zu spät.", "Ich wohne gern hier 😀.", "Ja"]


WAYS: Final = (
    "LangChain documents", "LangChain query", "LangChain async documents", "LangChain async query",
    "Haystack documents", "Haystack text", "Haystack async documents", "Haystack async text",
)  # fmt: skip


@pytest.fixture(scope="session")
def results(worker: ServeProcess) -> dict[str, list[list[float]]]:
    """Return the vectors of each way to embed `TEXTS`."""
    url = f"http://127.0.0.1:{worker.wait_for_event('http.listening')['port']}/v1"
    done = subprocess.run(
        [str(PYTHON), str(PROGRAM), url, MODEL, *TEXTS],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "HAYSTACK_TELEMETRY_ENABLED": "False"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[list[float]]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_embed_gets_the_vectors_of_grpc(
    results: dict[str, list[list[float]]], channel: grpc.Channel, way: str
) -> None:
    texts = [text_pb2.Text(content=text) for text in TEXTS]
    request = embedding_pb2.EmbedRequest(texts=texts, model=MODEL)
    answer = embedding_pb2_grpc.EmbeddingServiceStub(channel).Embed(request)
    expected = np.stack([np.frombuffer(result.dense.data, "<f4") for result in answer.results])
    np.testing.assert_allclose(np.array(results[way], np.float32), expected, atol=1e-5)


def test_token_ids_of_langchain_are_refused_with_its_setting(results: dict[str, list[list[float]]]) -> None:
    assert "check_embedding_ctx_length=False" in str(results["LangChain by default"])
