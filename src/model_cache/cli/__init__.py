"""Options, argument parser and exit handling, shared by all programs."""
