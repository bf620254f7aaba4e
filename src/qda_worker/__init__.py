"""The gRPC worker: sentiment, entities, embeddings and paraphrases of texts, from models in the cache.

Importing this package loads nothing heavy, because the client and `cache-check` import parts of it without torch and
spaCy.
"""
