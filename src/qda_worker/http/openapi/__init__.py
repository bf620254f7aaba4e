"""The OpenAPI document of the HTTP port, generated from the proto and its comments by `make proto`."""
