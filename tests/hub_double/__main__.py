"""`python -m tests.hub_double`."""

import sys

from .program import main

sys.exit(main())
