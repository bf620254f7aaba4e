"""Fills and tends the cache: plan, preflight, lease, sources, transfer, publish, report.

It never imports torch, transformers, spaCy or grpc, and it opens no weights: files are bytes with a
size and a hash. What needs the network is imported only when there is something to fetch.
"""
