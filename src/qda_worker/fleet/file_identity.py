"""Which files a model was loaded from, so that a replaced one is noticed.

A mapped file that is replaced by rename goes on being served from its old bytes; only its name leads to others. Device
and inode tell the two apart, for every file in the model's folder, through links.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

Identities: TypeAlias = Mapping[str, tuple[int, int]]
"""Device and inode by path relative to the model's folder."""


def identities(folder: Path) -> dict[str, tuple[int, int]]:
    """The identity of each file below `folder`. What cannot be looked at is left out: the check reports it."""
    found: dict[str, tuple[int, int]] = {}
    for directory, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(directory, name)
            try:
                seen = os.stat(path)
            except OSError:
                continue
            found[os.path.relpath(path, folder)] = (seen.st_dev, seen.st_ino)
    return found


def replaced(then: Identities, now: Identities) -> bool:
    """Whether a file that was there then is another now. One that is gone is not: what is mapped stays."""
    return any(now[name] != identity for name, identity in then.items() if name in now)
