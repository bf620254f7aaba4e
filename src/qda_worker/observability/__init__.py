"""What the worker reports about itself: logs, metrics and traces, all made from one record a call."""
