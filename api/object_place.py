"""Where the files lie that the rows of a home name, as the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings
    from medsiglip.index.objects.opening import ObjectPlace


def object_place(settings: Settings) -> ObjectPlace:
    """The place that `object_url` names, with its credentials and the bound of its copies."""
    from medsiglip.index.objects.opening import ObjectPlace

    return ObjectPlace(settings.object_url, settings.object_credentials_file, settings.object_cache_bytes)
