"""The hub double, driven by the clients that it is for."""
