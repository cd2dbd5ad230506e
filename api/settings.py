"""The settings: one table of names, defaults and meanings, read from the environment only when asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from api.errors import ServiceError

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["float32", "bfloat16"]


class Settings(BaseSettings):
    """Each field may be set as `MEDSIGLIP_<NAME>`; what the command line gives goes before it."""

    model_config = SettingsConfigDict(env_prefix="MEDSIGLIP_", extra="ignore", env_ignore_empty=True)

    home: Path = Field(Path("~/.local/share/medsiglip"), description="folder that holds the archive")
    model: str | None = Field(
        None, description="tiny, a checkpoint folder or a hub id; the home's own when unset"
    )
    profile: str | None = Field(None, description="preprocessing profile; the home's own when unset")
    device: Device = Field("auto", description="where the encoder runs")
    precision: Precision = Field("float32", description="arithmetic of the encoder")
    batch_size: int | None = Field(None, ge=1, le=4096, description="images encoded at once")
    workers: int | None = Field(None, ge=1, le=256, description="processes that decode and render")
    database_url: str | None = Field(
        None, description="SQLAlchemy URL of the catalogue; SQLite in the home when unset"
    )


def read_settings(**given: Any) -> Settings:
    """The environment's settings with those `given` (None means not given) put over them.

    Raises ServiceError `bad-setting`, naming the variable, when a value cannot be used.
    """
    chosen = {name: value for name, value in given.items() if value is not None}
    try:
        settings = Settings(**chosen)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        shown = f"--{name.replace('_', '-')}" if name in chosen else f"MEDSIGLIP_{name.upper()}"
        raise ServiceError("bad-setting", f"{shown} cannot be used: {first['msg'].lower()}") from None
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})
