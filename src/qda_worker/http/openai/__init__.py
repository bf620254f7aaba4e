"""Embeddings as clients of OpenAI's API call them: `/v1/embeddings` and `/v1/models`."""
