"""What the worker tells of itself: logs, metrics, and the record of each call that both are made from."""
