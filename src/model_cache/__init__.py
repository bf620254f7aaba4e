"""The model cache as data: catalog, places, layout, manifest and check.

The ground floor of the project. It imports the standard library and PyYAML only, so that
`cache-check` answers within a tenth of a second in a pod that has nothing else installed.

For the same reason its values are named tuples where every check meets them (a dataclass costs each start
half a millisecond, its module twenty, and a manifest may hold 20,000 files), and frozen dataclasses elsewhere.
"""
