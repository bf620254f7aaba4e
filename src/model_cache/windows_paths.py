"""The rules of Windows for paths and names, as pure functions of text that give the same result on every system.

Windows has several roots (drives, shares), two separators, names that it reserves for devices, and a limit of 260
characters for a path, unless an administrator has switched long paths on and the program supports them (Python does).
It ignores the case of names, and dots and spaces at their end. A name with a colon is a stream of another file.
The rules are those of Microsoft's "Naming Files, Paths, and Namespaces".
"""

import ntpath
import re
from collections.abc import Iterable, Mapping
from typing import Final

# Longest path without long paths, in characters: MAX_PATH, less the NUL at its end.
MAX_PATH_CHARACTERS: Final = 259
# Characters that a path needs on top of the longest name of a cache: the random part of a temporary name.
TEMPORARY_CHARACTERS: Final = 24

# Names of devices, with any extension and in any case. The digits of the ports may be superscript.
_DEVICE: Final = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])[ ]*(?:\..*)?",
    re.IGNORECASE | re.DOTALL,
)
_FORBIDDEN: Final = re.compile(r'[<>:"|?*]')
# Characters that mean something to `cmd` or PowerShell.
_SPECIAL: Final = re.compile(r"[\s\"'`$&|<>^();,@{}%!#]")
_VARIABLE: Final = re.compile(r"\$(\w+)|\$\{(\w+)\}|%([^%]+)%")
# Prefixes of a path that Windows passes on unchanged: neither slashes nor `..` are understood behind them.
_EXTENDED: Final = "\\\\?\\"
_EXTENDED_SHARE: Final = "\\\\?\\UNC\\"


def unusable_part(parts: Iterable[str]) -> str:
    """Return why Windows cannot store a file under one of these names, as the end of "a path which …"; else empty."""
    for part in parts:
        if character := _FORBIDDEN.search(part):
            return f'has "{character[0]}" in it, which Windows forbids'
        if part.endswith((".", " ")):
            return "has a part that ends in a dot or a space, which Windows drops"
        if _DEVICE.fullmatch(part):
            return f'has "{part}" in it, a name that Windows reserves'
    return ""


def quoted(argument: str) -> str:
    """Return an argument of a command line for `cmd` and PowerShell, which share the double quotes alone."""
    if argument and not _SPECIAL.search(argument):
        return argument
    backslashes = len(argument) - len(argument.rstrip("\\"))  # doubled, or they would escape the quote
    return '"' + argument.replace('"', '\\"') + "\\" * backslashes + '"'


def join(folder: str, path: str) -> str:
    """Return a path below a folder; `path` has slashes or backslashes, and may be empty."""
    return ntpath.join(folder, *path.replace("/", "\\").split("\\")) if path else folder


def absolute(path: str) -> str:
    r"""Return the absolute path with backslashes, without the prefix `\\?\`.

    Our records join paths with slashes, which that prefix forbids. Python needs no prefix where long paths are on.
    """
    return ntpath.abspath(without_extended_prefix(path))


def without_extended_prefix(path: str) -> str:
    r"""Return a path without `\\?\`: `\\?\C:\x` as `C:\x`, `\\?\UNC\server\share` as `\\server\share`."""
    path = path.replace("/", "\\")
    if path[: len(_EXTENDED_SHARE)].upper() == _EXTENDED_SHARE:
        return "\\\\" + path[len(_EXTENDED_SHARE) :]
    # a volume without a drive letter has no other name
    drive = path[len(_EXTENDED) :] if path.startswith(_EXTENDED) else ""
    return drive if drive[1:2] == ":" else path


def expand_variables(value: str, variables: Mapping[str, str]) -> str:
    """Return a value with `%NAME%`, `$NAME` and `${NAME}` expanded; names are compared without their case."""
    folded = {name.upper(): text for name, text in variables.items()}

    def text_of(match: re.Match[str]) -> str:
        return folded.get((match[1] or match[2] or match[3]).upper(), match[0])

    return _VARIABLE.sub(text_of, value)


def is_below(path: str, folder: str) -> bool:
    """Return whether a path is a folder or lies below it; both are absolute and have no links."""
    inner, outer = (ntpath.normcase(without_extended_prefix(each)) for each in (path, folder))
    return inner == outer or inner.startswith(ntpath.join(outer, ""))


def excess_characters(folder: str, path: str) -> int:
    """Return by how many characters a path below a folder, or its temporary name, exceeds the limit; 0 if it fits."""
    full = join(folder, path)
    units = len(full) + sum(character > "\uffff" for character in full)  # Windows counts UTF-16 units
    return max(0, units + TEMPORARY_CHARACTERS - MAX_PATH_CHARACTERS)
