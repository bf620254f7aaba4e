"""Sentence rules for German texts, shared by the worker and the client; standard library only."""
