"""Small but real models: architectures, file names and formats of the four real ones, trained from fixed seeds.

`small_models()` makes them once and keeps them below build/small-models; `python -m tests.support.small_models` does
it by hand. They understand no more German than the templates in corpus/ hold: enough for the tests and the demo.
"""

from tests.support.small_models.build import DEFAULT_OUT, BuildFailed, small_models
from tests.support.small_models.small_models import SmallModels

__all__ = ["DEFAULT_OUT", "BuildFailed", "SmallModels", "small_models"]
