"""The places of a cache: the global caches of this user, or the subfolders of one folder.

On a host each library has its own global cache, which other projects use too. Their paths follow the libraries' own
rules (huggingface_hub `constants.py`, `torch.hub`), with one difference: an empty variable counts as unset, where the
libraries would use the working folder. Each place records which variable chose it, because that is the first question
when a model is not found. The environment, the home and the system are arguments, so that nothing here depends on the
process: on any system the places on Windows are those that Windows computes (`model_cache.windows_paths`).
"""

import os
import re
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

from model_cache.containment import CacheBoundary

# The value of `--cache` for the global caches of this user.
HOST: Final = "host"

# `Place.chosen_by` where no variable is set.
_BY_DEFAULT: Final = "default"


class PlaceName(StrEnum):
    """The four parts of a cache, named as their folders in a cache of one folder."""

    HUB = "huggingface"
    SPACY = "spacy"
    TORCH = "torch"
    OWN = "model-cache"


class Place(NamedTuple):
    """One part of the cache.

    Attributes:
        name: which part.
        path: absolute path of its folder.
        chosen_by: the name of the variable that chose the path, `--cache`, or `default`.
    """

    name: PlaceName
    path: Path
    chosen_by: str


class Places(NamedTuple):
    """The four places of a cache.

    Attributes:
        hub: cache of the Hugging Face hub client.
        spacy: spaCy packages.
        torch: cache of `torch.hub`.
        own: manifests, records, references and status of this project.
        label: `host`, or the folder as the user gave it.
    """

    hub: Place
    spacy: Place
    torch: Place
    own: Place
    label: str

    def of(self, name: PlaceName) -> Place:
        """Return the place with a name."""
        return next(place for place in self.all() if place.name is name)

    def all(self) -> tuple[Place, Place, Place, Place]:
        """Return the four places, those of models first."""
        return self.hub, self.spacy, self.torch, self.own

    def boundary_of(self, path: Path) -> CacheBoundary:
        """Return the boundary that a path of this cache must not leave: the cache's folder, or on a host its place.

        Raises:
            ValueError: the path is not below any place.
        """
        if self.own.chosen_by == "--cache":
            return CacheBoundary(self.own.path.parent)
        inside = [place for place in self.all() if path.is_relative_to(place.path)]
        if not inside:
            raise ValueError(f"{path} is in none of the places")
        # of two places, one in the other, the inner one
        inner = max(inside, key=lambda place: len(place.path.parts))
        return CacheBoundary(inner.path, on_host=True)


def resolve_places(
    cache: str, environ: Mapping[str, str], home: Path, platform: str = sys.platform
) -> Places:
    """Return the places of a cache.

    Args:
        cache: `host`, or a folder (`~` is the home, a relative path starts at the working folder).
        environ: the environment; used for `host` only.
        home: the user's home folder.
        platform: as `sys.platform`.
    """
    if cache == HOST:
        return _host_places(_Environment(environ, home, platform))
    env = _Environment({}, home, platform)
    return _places_below(env, env.path(cache), cache)


def _places_below(env: "_Environment", root: str, label: str) -> Places:
    return Places(
        hub=Place(PlaceName.HUB, env.below(root, "huggingface/hub"), "--cache"),
        spacy=Place(PlaceName.SPACY, env.below(root, "spacy"), "--cache"),
        torch=Place(PlaceName.TORCH, env.below(root, "torch"), "--cache"),
        own=Place(PlaceName.OWN, env.below(root, ".model-cache"), "--cache"),
        label=label,
    )


def _host_places(env: "_Environment") -> Places:
    return Places(
        hub=env.first(
            PlaceName.HUB,
            ("HF_HUB_CACHE", ""),
            ("HUGGINGFACE_HUB_CACHE", ""),
            ("HF_HOME", "hub"),
            ("XDG_CACHE_HOME", "huggingface/hub"),
            default=".cache/huggingface/hub",
        ),
        spacy=_spacy_place(env),
        torch=env.first(
            PlaceName.TORCH,
            ("TORCH_HOME", ""),
            ("XDG_CACHE_HOME", "torch"),
            default=".cache/torch",
            with_variables=False,  # torch expands ~ only
        ),
        own=env.first(
            PlaceName.OWN,
            ("QDA_RECORDS", ""),
            ("XDG_CACHE_HOME", "qda-worker"),
            default=".cache/qda-worker",
        ),
        label=HOST,
    )


def _spacy_place(env: "_Environment") -> Place:
    """Return the place of spaCy packages. spaCy 3 defines neither folder nor variable; SPACY_DATA is ours."""
    if env.is_windows:
        return env.first(
            PlaceName.SPACY, ("SPACY_DATA", ""), ("APPDATA", "spacy"), default="AppData/Roaming/spacy"
        )
    return env.first(PlaceName.SPACY, ("SPACY_DATA", ""), default=".local/share/spacy")


class _Environment(NamedTuple):
    """The variables, the home folder and the system from which places are resolved."""

    variables: Mapping[str, str]
    home: Path
    platform: str

    @property
    def is_windows(self) -> bool:
        """Whether paths are those of Windows."""
        return self.platform == "win32"

    def first(
        self, name: PlaceName, *candidates: tuple[str, str], default: str, with_variables: bool = True
    ) -> Place:
        """Return the place of the first variable that is set.

        Args:
            name: the name of the place.
            candidates: variables, each with a path below its value.
            default: path below the home if no variable is set.
            with_variables: expand `$NAME`, on Windows also `%NAME%`, in the variable's value.
        """
        for variable, below in candidates:
            value = self.variables.get(variable)
            if value:
                folder = self.path(value, with_variables=with_variables)
                return Place(name, self.below(folder, below), variable)
        return Place(name, self.below(str(self.home), default), _BY_DEFAULT)

    def below(self, folder: str, path: str) -> Path:
        """Return a path below a folder; `path` has slashes and may be empty."""
        if self.is_windows:
            from model_cache.windows_paths import join

            return Path(join(folder, path))
        return Path(folder, path)

    def path(self, value: str, *, with_variables: bool = True) -> str:
        """Return the absolute path of a value, with `~` and `$NAME` expanded as the libraries do."""
        if value == "~" or value.startswith(("~/", "~\\") if self.is_windows else "~/"):
            value = str(self.home) + value[1:]
        elif value.startswith("~"):
            # The home of another user: the environment does not have it, the system does.
            value = os.path.expanduser(value)
        if self.is_windows:
            from model_cache.windows_paths import absolute, expand_variables

            return absolute(expand_variables(value, self.variables) if with_variables else value)
        if with_variables:
            value = re.sub(r"\$(\w+)|\$\{(\w+)\}", self._variable, value)
        return str(Path(value).absolute())

    def _variable(self, match: re.Match[str]) -> str:
        return self.variables.get(match[1] or match[2], match[0])
