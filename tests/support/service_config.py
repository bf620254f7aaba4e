"""The service config that docs/calling.md gives to callers without the project's client."""

import json
from pathlib import Path
from typing import Final

PAGE: Final = Path(__file__).parents[2] / "docs" / "calling.md"


def documented_service_config(*, health: bool = True) -> str:
    """Return it as JSON.

    Args:
        health: whether to keep `healthCheckConfig`, which the page advises against for a name with one address.
    """
    blocks = PAGE.read_text(encoding="utf-8").split("```json\n")[1:]
    (text,) = [block.split("```")[0] for block in blocks if "loadBalancingConfig" in block]
    config = json.loads(text)
    if not health:
        del config["healthCheckConfig"]
    return json.dumps(config)
