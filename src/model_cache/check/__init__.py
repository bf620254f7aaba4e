"""What is there: the three tiers of `cache-check`, its report and its command line."""
