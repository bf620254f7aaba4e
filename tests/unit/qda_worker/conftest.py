"""Property tests of the worker: no example is too slow, because a shared machine may be."""

from hypothesis import settings

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
