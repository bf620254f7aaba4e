"""Run `cache-warmer` with `python -m cache_warmer`."""

import sys

from cache_warmer.cli import main

if __name__ == "__main__":
    sys.exit(main())
