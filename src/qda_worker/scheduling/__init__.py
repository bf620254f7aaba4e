"""What a model computes next: one queue and one compute thread a model, with nothing of gRPC."""
