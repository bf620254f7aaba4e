"""Conversion between the messages of the proto and the worker's own values.

Each service has one module here with two kinds of functions. `parse_*` turns a request message into one frozen request
value and raises everything that is wrong with the request itself. `check_*` raises what only the chosen model can
decide. `build_*` turns the outcomes of the model's queue into response messages.

No function here waits for a model, does I/O or starts a task, so all of them may run in any thread. Only
`build_timings` reads a clock, and only `parse_text_sets` is a coroutine: its request is a stream.
"""
