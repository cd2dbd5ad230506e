"""The part of `doctor` that looks at the home: who may read it, and whether its key is there."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.api.errors import explain

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings

_OTHERS = 0o077


def check_home(settings: Settings) -> dict[str, Any]:
    """`{"path", "made", "problems": [{"code", "message"}], "ok"}`; nothing is created, migrated or repaired.

    The codes are `home-mode`, `secret-key-mode`, `secret-key-missing`, `key-mismatch`, and those of errors
    that reading the key or the catalogue may raise.
    """
    home = settings.home
    problems = [{"code": code, "message": message} for code, message in _problems(settings)]
    return {"path": str(home), "made": home.is_dir(), "problems": problems, "ok": not problems}


def _problems(settings: Settings) -> Iterator[tuple[str, str]]:
    home, key = settings.home, settings.home / "secret.key"
    if not home.is_dir():
        return
    if os.name == "posix":
        if mode := _open_to_others(home):
            yield (
                "home-mode",
                f"{home} has mode {mode:04o}, so that others on this machine may look at patient data: "
                f"`chmod 700 {home}`",
            )
        if key.exists() and (mode := _open_to_others(key)):
            yield (
                "secret-key-mode",
                f"{key} has mode {mode:04o}, so that others on this machine may read the key to the "
                f"pseudonyms: `chmod 600 {key}`",
            )
    try:
        known = _known_fingerprint(settings)
        yield from _key_problems(key, known)
    except Exception as error:
        explanation = explain(error)
        if explanation is None:
            raise
        yield explanation.code, explanation.message


def _open_to_others(path: Path) -> int:
    """The mode of a path that others than its owner may use in some way, else 0."""
    mode = stat.S_IMODE(path.stat().st_mode)
    return mode if mode & _OTHERS else 0


def _key_problems(key: Path, known: str | None) -> Iterator[tuple[str, str]]:
    from medsiglip.ingest.privacy.deidentify import SecretKey

    if not key.exists():
        if known is not None:
            yield (
                "secret-key-missing",
                f"{key} is missing, without which nothing can be ingested into this home: restore it from "
                "the backup of this home",
            )
        return
    if known is not None and SecretKey.open(key.parent).as_bound(known).fingerprint != known:
        yield "key-mismatch", f"{key} is the key of another home: restore it from the backup of this home"


def _known_fingerprint(settings: Settings) -> str | None:
    """The fingerprint of the key that the catalogue was made with, None where there is none."""
    from sqlalchemy import select

    from medsiglip.api.catalogue_url import catalogue_url
    from medsiglip.index.catalogue.database import Database
    from medsiglip.index.catalogue.opening import BUSY_SECONDS
    from medsiglip.index.catalogue.schema import home

    database = Database(settings.home, catalogue_url(settings), BUSY_SECONDS)
    try:
        if not database.holds_tables():
            return None
        with database.read() as connection:
            found: str | None = connection.execute(select(home.c.key_fingerprint)).scalar_one()
            return found
    finally:
        database.close()
