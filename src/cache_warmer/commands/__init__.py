"""The commands of `cache-warmer`: each module turns options into a run, and its result into output and exit code."""
