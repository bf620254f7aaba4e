"""Results as REFI-QDA projects (QDPX) and code books (QDC), which programs for qualitative analysis import. No gRPC."""
