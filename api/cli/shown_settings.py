"""The settings as a person may see them: without passwords."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings, SettingsRead


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
    beginning, *parameters = _without_user_password(value).split("&")
    address, question, first = beginning.partition("?")
    return address + question + "&".join(map(_without_value_of_password, [first, *parameters]))


def _without_user_password(value: str) -> str:
    last, begin = value.rfind("@"), value.find("://")
    while 0 <= begin < last:
        colon = value.find(":", begin + 3, last)
        if colon >= 0 and not set("/@?#").intersection(value[begin + 3 : colon]):
            return f"{value[:colon]}:***{value[last:]}"
        begin = value.find("://", begin + 3)
    return value


def _without_value_of_password(parameter: str) -> str:
    name = parameter.lower().find("pass")
    equals = parameter.find("=", name) if name >= 0 else -1
    if equals < 0:
        return parameter
    _, mark, fragment = parameter[equals:].partition("#")
    return f"{parameter[: equals + 1]}***{mark}{fragment}"
