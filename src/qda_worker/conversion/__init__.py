"""Between the proto's messages and the worker's own values. Pure: no I/O, no clock, no event loop."""
