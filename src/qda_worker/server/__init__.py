"""One run of the worker: gRPC servers, TLS, health, reflection, signals and graceful shutdown."""
