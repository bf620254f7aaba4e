"""The warmer's requests to the Kubernetes API: Events, Leases, and whether a Deployment exists."""
