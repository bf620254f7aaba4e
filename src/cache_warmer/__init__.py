"""The cache warmer: fetches the models of a catalog into the cache, verifies them, and removes what is not needed.

It never imports torch, transformers, spaCy or grpc, and it loads no model: a model is files with a size and a hash.
Libraries for the network are imported only when there is something to fetch.
"""
