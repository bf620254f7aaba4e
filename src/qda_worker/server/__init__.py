"""One run of the worker: servers, health, signals, and the end in order."""
