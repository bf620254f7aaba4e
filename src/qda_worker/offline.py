"""What keeps the model libraries from the network, in the server and in the probe alike."""

from typing import Final

# For the libraries, before they are imported: they open no connection, whatever a model's files say.
OFFLINE: Final = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "TOKENIZERS_PARALLELISM": "false",  # texts are tokenised side by side already
}
