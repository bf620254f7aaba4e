"""Names the volume that a path lies on as it was mounted: people know their volumes, not device numbers."""

import re
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")


def volume_of(path: Path, mounts: Path = _MOUNTS) -> str:
    """Return ``/cache, nfs4 of server:/export``; empty where the system does not say. Never raises."""
    try:
        lines = mounts.read_text("utf-8", "replace").splitlines()
        there = path.resolve()
    except (OSError, RuntimeError):
        return ""
    found: tuple[int, str] = (-1, "")
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 2:
            continue
        mount = Path(_plain(fields[4]))
        # of two on one path the later one is what is seen
        if there.is_relative_to(mount) and len(mount.parts) >= found[0]:
            source = _plain(kind[1])
            of = f" of {source}" if source not in ("none", kind[0]) else ""
            found = len(mount.parts), f"{mount}, {kind[0]}{of}"
    return found[1]


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)
