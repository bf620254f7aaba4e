"""The fake hub, driven by the clients that it is for."""
