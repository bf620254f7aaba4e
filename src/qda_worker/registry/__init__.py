"""The models that this worker serves (`registry`), the loop that checks and loads them, and the watchdog of both."""
