"""The HTTP port: the calls of all services as JSON, by the Connect protocol, inside the interceptors of gRPC."""
