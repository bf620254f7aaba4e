"""Garbage collection of a cache: find what no root references, report it, and delete it on request.

`roots` reads what is referenced, `retention` decides what is kept, `scan` makes a plan, `report` shows it and `sweep`
carries it out.
"""
