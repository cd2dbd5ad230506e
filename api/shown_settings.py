"""The settings as a person may see them: without passwords."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

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
    """The text without what stands between a colon and an @ before the host, and without parameters that
    hold a password in some drivers' URLs.
    """
    if "://" not in value:
        return value
    try:
        parts = urlsplit(value)
    except ValueError:
        return "***"
    user, at, host = parts.netloc.rpartition("@")
    shown = f"{user.partition(':')[0]}:***@{host}" if at and ":" in user else parts.netloc
    query = "&".join(
        f"{name}=***" if "password" in name.lower() else f"{name}{equals}{rest}"
        for name, equals, rest in (one.partition("=") for one in parts.query.split("&"))
    )
    return urlunsplit((parts.scheme, shown, parts.path, query, parts.fragment))
