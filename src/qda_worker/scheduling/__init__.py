"""One queue and one compute thread per model. Start with `queue`. Nothing here knows gRPC."""
