"""`python -m tests.support.fake_hub`."""

import sys

from tests.support.fake_hub.program import main

sys.exit(main())
