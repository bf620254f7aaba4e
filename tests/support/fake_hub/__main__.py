"""`python -m tests.support.fake_hub`."""

import sys

from .program import main

sys.exit(main())
