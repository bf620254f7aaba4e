"""Embeds texts by LangChain and Haystack, and prints the vectors as JSON. Runs in `.venv-openai`, without this project.

python frameworks.py URL MODEL TEXT ...
"""

import asyncio
import json
import sys
from typing import Any, Final

import tiktoken
from haystack import Document
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.utils import Secret
from langchain_openai import OpenAIEmbeddings

URL, MODEL, *TEXTS = sys.argv[1:]
KEY: Final = "none"
HAYSTACK: Final[dict[str, Any]] = {"model": MODEL, "api_base_url": URL, "api_key": Secret.from_token(KEY)}


async def langchain() -> dict[str, Any]:
    """Return the vectors by LangChain."""
    embeddings = OpenAIEmbeddings(
        model=MODEL, base_url=URL, api_key=KEY, check_embedding_ctx_length=False, max_retries=0
    )
    return {
        "LangChain documents": embeddings.embed_documents(TEXTS),
        "LangChain query": [embeddings.embed_query(text) for text in TEXTS],
        "LangChain async documents": await embeddings.aembed_documents(TEXTS),
        "LangChain async query": [await embeddings.aembed_query(text) for text in TEXTS],
    }


def langchain_by_default() -> str:
    """Return the error of LangChain's default, which sends token ids.

    Its tokenizer is a file on the internet; one that knows single bytes takes its place.
    """
    encoding = tiktoken.Encoding(
        "bytes", pat_str="(?s:.)", mergeable_ranks={bytes([i]): i for i in range(256)}, special_tokens={}
    )
    tiktoken.encoding_for_model = tiktoken.get_encoding = lambda _: encoding
    try:
        OpenAIEmbeddings(model=MODEL, base_url=URL, api_key=KEY, max_retries=0).embed_documents(TEXTS)
    except Exception as error:  # noqa: BLE001  # whichever it is
        return str(error)
    return "no error"


async def haystack() -> dict[str, Any]:
    """Return the vectors by Haystack."""
    documents = [Document(content=text) for text in TEXTS]
    embedder = OpenAIDocumentEmbedder(**HAYSTACK, progress_bar=False)
    by_run, by_async = embedder.run(documents), await embedder.run_async(documents)
    text_embedder = OpenAITextEmbedder(**HAYSTACK)
    return {
        "Haystack documents": [each.embedding for each in by_run["documents"]],
        "Haystack async documents": [each.embedding for each in by_async["documents"]],
        "Haystack text": [text_embedder.run(text)["embedding"] for text in TEXTS],
        "Haystack async text": [(await text_embedder.run_async(text))["embedding"] for text in TEXTS],
    }


async def main() -> None:
    """Print the vectors of all ways."""
    results = await langchain() | await haystack()
    print(json.dumps({**results, "LangChain by default": langchain_by_default()}))


asyncio.run(main())
