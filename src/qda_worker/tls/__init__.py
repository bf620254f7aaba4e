"""TLS of the gRPC port: certificates from files that may be replaced while the worker serves."""
