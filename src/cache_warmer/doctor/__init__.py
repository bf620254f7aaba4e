"""`cache-warmer doctor`: looks for what is wrong with this machine, its environment and its caches; changes nothing.

Each module examines one subject and returns findings (`diagnosis.Finding`). No check imports a library of the models:
versions come from the metadata of installed packages, so that a broken installation can be examined, too.
"""
