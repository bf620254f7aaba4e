"""Where the models are: the global caches of this user, or one folder that holds them all.

On a host each library looks in a place of its own, and other projects look there too, so the places are
found by the libraries' own rules (huggingface_hub `constants.py`, `torch.hub`). In one thing we differ: an
empty variable counts as unset, where the libraries would take the working folder of whoever asks. The result
says where each choice came from, because "why there?" is the first question when a model is not found. The
environment and the home come in as arguments.
"""

import os
import re
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

# The value of `--cache` that means the global caches of this user.
HOST: Final = "host"

_BY_DEFAULT: Final = "default"


class PlaceName(StrEnum):
    """The four parts of a cache, by the names of their folders in a cache of our own."""

    HUB = "huggingface"
    SPACY = "spacy"
    TORCH = "torch"
    OWN = "model-cache"


class Place(NamedTuple):
    """One part of the cache; `chosen_by` is a variable's name, `--cache` or `default`."""

    name: PlaceName
    path: Path
    chosen_by: str


class Places(NamedTuple):
    """The four places. `label` is `host`, or the folder as the user gave it."""

    hub: Place
    spacy: Place
    torch: Place
    own: Place
    label: str

    def of(self, name: PlaceName) -> Place:
        """Return the place of that name."""
        return next(place for place in self.all() if place.name is name)

    def all(self) -> tuple[Place, Place, Place, Place]:
        """Return the four places, the model's before our own."""
        return self.hub, self.spacy, self.torch, self.own


def resolve_places(
    cache: str, environ: Mapping[str, str], home: Path, platform: str = sys.platform
) -> Places:
    """Return where the cache's parts are.

    Args:
        cache: `host`, or a folder (`~` is the home, a relative one counts from the working folder).
        environ: the environment; consulted for `host` only.
        home: the user's home folder.
        platform: as `sys.platform`.
    """
    if cache == HOST:
        return _host_places(_Environment(environ, home), platform)
    return _places_below(_Environment({}, home).path(cache), cache)


def _places_below(root: Path, label: str) -> Places:
    return Places(
        hub=Place(PlaceName.HUB, root / "huggingface" / "hub", "--cache"),
        spacy=Place(PlaceName.SPACY, root / "spacy", "--cache"),
        torch=Place(PlaceName.TORCH, root / "torch", "--cache"),
        own=Place(PlaceName.OWN, root / ".model-cache", "--cache"),
        label=label,
    )


def _host_places(env: "_Environment", platform: str) -> Places:
    return Places(
        hub=env.first(
            PlaceName.HUB,
            ("HF_HUB_CACHE", ""),
            ("HUGGINGFACE_HUB_CACHE", ""),
            ("HF_HOME", "hub"),
            ("XDG_CACHE_HOME", "huggingface/hub"),
            default=".cache/huggingface/hub",
        ),
        spacy=_spacy_place(env, platform),
        torch=env.first(
            PlaceName.TORCH,
            ("TORCH_HOME", ""),
            ("XDG_CACHE_HOME", "torch"),
            default=".cache/torch",
            with_variables=False,  # torch expands ~ alone
        ),
        own=env.first(
            PlaceName.OWN,
            ("QDA_RECORDS", ""),
            ("XDG_CACHE_HOME", "qda-worker"),
            default=".cache/qda-worker",
        ),
        label=HOST,
    )


def _spacy_place(env: "_Environment", platform: str) -> Place:
    """spaCy 3 has no folder of its own and reads no variable; SPACY_DATA is our override."""
    if platform == "win32":
        return env.first(
            PlaceName.SPACY, ("SPACY_DATA", ""), ("APPDATA", "spacy"), default="AppData/Roaming/spacy"
        )
    return env.first(PlaceName.SPACY, ("SPACY_DATA", ""), default=".local/share/spacy")


class _Environment(NamedTuple):
    variables: Mapping[str, str]
    home: Path

    def first(
        self, name: PlaceName, *candidates: tuple[str, str], default: str, with_variables: bool = True
    ) -> Place:
        """Return the place of the first variable that is set; `default` is relative to the home."""
        for variable, below in candidates:
            value = self.variables.get(variable)
            if value:
                return Place(name, self.path(value, with_variables=with_variables) / below, variable)
        return Place(name, self.home / default, _BY_DEFAULT)

    def path(self, value: str, *, with_variables: bool = True) -> Path:
        """Expand `~` and `$NAME` as the libraries do; a relative path counts from the working folder."""
        if value == "~" or value.startswith(("~/", "~\\")):
            value = str(self.home) + value[1:]
        elif value.startswith("~"):
            value = os.path.expanduser(
                value
            )  # another user's home: the system knows it, the environment does not
        if with_variables:
            value = re.sub(r"\$(\w+)|\$\{(\w+)\}", self._variable, value)
        return Path(value).absolute()

    def _variable(self, match: re.Match[str]) -> str:
        return self.variables.get(match[1] or match[2], match[0])
