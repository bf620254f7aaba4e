"""Environment variables that keep the model libraries offline, in the server and in the probe."""

from typing import Final

from model_cache.cli.options import OFFLINE_VARIABLES

# To be set before the libraries are imported. They then open no connection, regardless of a model's files.
OFFLINE: Final = {
    **dict.fromkeys(OFFLINE_VARIABLES, "1"),
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",  # texts are tokenized in parallel by our own thread pool
}
