"""The precisions of prepared forms that this CPU can compute: CPUs differ, and no test is skipped in CI."""

from typing import Final

from model_cache.catalog.catalog import Precision
from qda_worker.models.engines.prepared import missing_instructions

# bf16 first, because its forms are made in less time; CPUs with AVX2 alone have int8 only.
AVAILABLE: Final = [one for one in (Precision.BF16, Precision.INT8) if not missing_instructions(one)]
