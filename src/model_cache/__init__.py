"""Shared library of the model cache: catalog, places, layout, manifests, checks.

It is the bottom layer of the project and imports the standard library and PyYAML only, so that `cache-check` runs
within 100 ms in a container that has nothing else installed.

For the same reason its values are named tuples where every check uses them: importing `dataclasses` costs 20 ms and
each dataclass half a millisecond, and a manifest may hold 20,000 files. Modules that a fast check does not import use
frozen dataclasses.
"""
