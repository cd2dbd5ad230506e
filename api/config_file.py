"""A file of settings: TOML, one `name = value` a line, names as in the table of settings."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from api.errors import ServiceError


def read_config_file(file: Path, names: Sequence[str]) -> dict[str, Any]:
    """What the file sets among `names`. Raises ServiceError `bad-config` for a file that cannot be read, and
    for a name that is not among them.
    """
    try:
        with file.open("rb") as stream:
            found = tomllib.load(stream)
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ServiceError("bad-config", f"the settings in {file} cannot be read: {reason}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ServiceError("bad-config", f"{file} is not TOML: {error}.") from None
    for name in found:
        if name not in names:
            near = get_close_matches(name.lower().replace("-", "_"), names, n=1)
            meant = f"did you mean {near[0]}?" if near else "`medsiglip config show` lists all."
            raise ServiceError("bad-config", f"{file} sets {name}, which may not be set there; {meant}")
    return found
