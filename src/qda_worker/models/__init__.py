"""The models and their common interface (`base`). Nothing here knows gRPC; importing the package loads no library."""
