"""What the shell completes: prompt sets, and the probes and routes of the home. No model is loaded for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    pass

LIST = "list"
"""In place of a prompt set: list them."""


def prompt_sets(incomplete: str) -> list[str]:
    """Bundled prompt sets that begin so."""
    from medsiglip.prompt_set import list_prompt_sets

    return [name for name in (*list_prompt_sets(), LIST) if name.startswith(incomplete)]


def probes(context: typer.Context, incomplete: str) -> list[str]:
    """Probes of the home that begin so."""
    return _names(context, incomplete, lambda archive: archive.probes()["probes"])


def routes(context: typer.Context, incomplete: str) -> list[str]:
    """Routes of the home that begin so."""
    return _names(context, incomplete, lambda archive: archive.routes()["routes"])


def _names(context: typer.Context, incomplete: str, listed: Any) -> list[str]:
    """Names in the home of the command line so far; none where it cannot be opened."""
    from medsiglip.api.archive.archive import Archive
    from medsiglip.api.errors import explain
    from medsiglip.api.settings import read_settings

    given = context.find_root().params
    try:
        settings = read_settings(given.get("config"), home=given.get("home"))
        with Archive.from_settings(settings) as archive:
            found: Sequence[dict[str, str]] = listed(archive)
            return [one["name"] for one in found if one["name"].startswith(incomplete)]
    except Exception as error:
        if explain(error) is None:
            raise
        return []
