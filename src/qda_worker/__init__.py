"""The gRPC worker: sentiment, entities, embeddings and paraphrases of texts, from models in the cache.

Importing this package loads nothing heavy: the client and `cache-check` live beside torch and spaCy, not on top of
them.
"""
