"""The cache check in its three tiers, its report and the program `cache-check`."""
