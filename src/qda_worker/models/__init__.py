"""The models: what they take and give, with nothing of gRPC. Importing this package loads no library."""
