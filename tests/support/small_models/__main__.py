"""`python -m tests.support.small_models`: train the small models and print their scores."""

import argparse
import sys
from pathlib import Path

from tests.support.small_models.build import DEFAULT_OUT, BuildFailed, small_models


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.small_models", description=__doc__)
    parser.add_argument(
        "--out", type=Path, default=DEFAULT_OUT, help="folder of the models (default: %(default)s)"
    )
    options = parser.parse_args()
    try:
        models = small_models(options.out.resolve(), lambda line: print(f"{line}\n", end="", flush=True))
    except BuildFailed as error:
        print(error, file=sys.stderr)
        return 1
    for key, scores in models.scores.items():
        figures = ", ".join(f"{name} {value:.3f}" for name, value in scores.items() if name != "seconds")
        print(f"{key}: {figures} (trained in {scores['seconds']:.0f} s)")
    print(f"all of them: {models.seconds:.0f} s\nhub:     {models.hub}\ncatalog: {models.catalog}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
