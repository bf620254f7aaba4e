"""What each command of `cache-warmer` does, from its settings to its exit code."""
