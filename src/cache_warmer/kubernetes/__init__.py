"""What the warmer says to Kubernetes, and hears from it."""
