"""Small models with the architectures, file names and formats of the four real ones, trained from fixed seeds.

`small_models()` trains them once and stores them below build/small-models; `python -m tests.support.small_models` does
the same from the command line. Their German is limited to the templates in corpus/, which is enough for tests and demo.
"""

from tests.support.small_models.build import DEFAULT_OUT, BuildFailed, small_models
from tests.support.small_models.small_models import SmallModels

__all__ = ["DEFAULT_OUT", "BuildFailed", "SmallModels", "small_models"]
