"""A file of settings: TOML, one `name = value` a line, names as in the table of settings."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import excerpt
from medsiglip.toml_file import TomlError, parse_toml, toml_bytes

# Of a name that is looked up among others: comparing two costs the product of their lengths (difflib).
_LONGEST = 64


def read_config_file(file: Path, names: Sequence[str]) -> dict[str, Any]:
    """What the file sets among `names`. Raises ServiceError `bad-config` for a file that cannot be read, and
    for a name that is not among them.
    """
    try:
        found = parse_toml(toml_bytes(file))
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ServiceError("bad-config", f"the settings in {file} cannot be read: {reason}.") from None
    except TomlError as error:
        raise ServiceError("bad-config", f"{file} is not TOML: {error}.") from None
    for name in found:
        if name not in names:
            near = get_close_matches(name[:_LONGEST].lower().replace("-", "_"), names, n=1)
            meant = f"did you mean {near[0]}?" if near else "`medsiglip config show` lists all."
            raise ServiceError(
                "bad-config", f"{file} sets {excerpt(name)}, which may not be set there; {meant}"
            )
    return found
