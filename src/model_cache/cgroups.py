"""Find the control groups of this process, whose files hold the limits of a container.

Both versions are read. In version 2 one hierarchy has all controllers. In version 1 each controller, or a few of them
together, has a hierarchy of its own. A group is bound by its own limits and by those of its parents.

In a container the path of the group may be that of the host, while the container's own group is mounted at the top;
then only the top is found. A path outside the container's namespace begins with `/..`; it names nothing that is
mounted.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

# The controller list of cgroup v2 in /proc/self/cgroup: its one hierarchy has an empty list.
_UNIFIED: Final = ""


class GroupFolder(NamedTuple):
    """The folder of one control group.

    Attributes:
        path: the folder, which may not exist.
        is_unified: whether its files are those of version 2.
    """

    path: Path
    is_unified: bool


def group_folders(root: Path, controller: str) -> Iterator[GroupFolder]:
    """Yield the folders of the groups that may have a controller: this process's group first, then its parents.

    Args:
        root: the folder that holds `proc` and `sys`.
        controller: the controller of version 1, such as `cpu` or `memory`.
    """
    for line in read_file(root / "proc/self/cgroup").splitlines():
        fields = line.split(":", 2)
        if len(fields) != 3:
            continue
        controllers, group = fields[1], PurePosixPath(fields[2])
        if controllers != _UNIFIED and controller not in controllers.split(","):
            continue
        for path in (group, *group.parents):
            relative = PurePosixPath(*(part for part in path.parts if part not in ("/", "..")))
            mount = root / "sys/fs/cgroup"
            if controllers != _UNIFIED:
                mount /= controllers if (mount / controllers).is_dir() else controller
            yield GroupFolder(mount / relative, controllers == _UNIFIED)


def read_file(file: Path) -> str:
    """Return the content of a small file of the system; empty if it cannot be read: not Linux, or no such group."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):  # ValueError: a path with a NUL
        return ""
