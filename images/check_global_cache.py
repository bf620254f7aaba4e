"""Run `cache-check`: an alias for `docker exec qda_worker python check_global_cache.py`."""

import sys

from model_cache.check.cli import main

if __name__ == "__main__":
    sys.exit(main())
