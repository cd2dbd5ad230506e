"""Results of jobs as every database takes them."""

from __future__ import annotations

import math
from typing import Any

from medsiglip.answers.paths import shown


def storable(value: Any) -> Any:
    """JSON values as UTF-8 and a database take them: U+FFFD for NUL, bytes of file names as
    `medsiglip.answers.paths` writes them, None for NaN and infinity.
    """
    if isinstance(value, str):
        return shown(value).replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {storable(name): storable(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    if hasattr(value, "tolist"):  # numpy's
        return storable(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value
