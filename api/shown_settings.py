"""The settings as a person may see them: without passwords."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from api.settings import Settings, SettingsRead


def shown_settings(read: SettingsRead) -> dict[str, Any]:
    """`{"settings": [{"name", "value", "origin", "description"}]}`, in the order of the table."""
    values = shown_values(read.settings)
    fields = type(read.settings).model_fields
    return {
        "settings": [
            {
                "name": name,
                "value": values[name],
                "origin": read.origins[name],
                "description": field.description,
            }
            for name, field in fields.items()
        ]
    }


def shown_values(settings: Settings) -> dict[str, Any]:
    """Each setting's value as JSON; of a URL the password is `***`."""
    return {
        name: _without_password(value) if isinstance(value, str) else value
        for name, value in settings.model_dump(mode="json").items()
    }


def _without_password(value: str) -> str:
    """A URL without what stands between the user's colon and the last @, and without parameters that hold a
    password for some drivers.
    """
    shown = re.sub(r"(?<=://)([^:/@?#]*):.*@", r"\1:***@", value)
    return re.sub(r"([?&][^=&]*pass[^=&]*=)[^&#]*", r"\1***", shown, flags=re.IGNORECASE)
