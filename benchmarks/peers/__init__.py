"""The peers: requirement files of their environments, and the programs that run in these."""
