"""`python -m qda_worker`: the same as `qda-worker`."""

from qda_worker.cli import main

main()
