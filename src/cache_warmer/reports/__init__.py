"""Progress and results of a run: the display, the status file and the final report."""
