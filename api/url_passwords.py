"""URLs as they may be shown: without the passwords that they hold."""

from __future__ import annotations


def without_password(value: str) -> str:
    """A URL with `***` for the text between the user's colon and the last @, and for parameters that hold a
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
