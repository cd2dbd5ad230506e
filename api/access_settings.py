"""Settings of who may come in and who is told of it, each checked by its form."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator
from pydantic_settings import NoDecode

from medsiglip.api.loopback import is_loopback

SCOPES = ("read", "write", "train", "report", "admin")
SYSLOG_SCHEMES = ("udp", "tcp", "tls")


def _https_url(value: str) -> str:
    """An address whose answers nobody on the way can make up: TLS, or this machine."""
    try:
        parts = urlsplit(value)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host = None
    if host is None or "@" in parts.netloc or parts.query or parts.fragment or not value.isascii():
        raise ValueError(f"{value!r} is no address such as https://login.example/realms/hospital")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise ValueError(f"{value!r} must begin with https://, for who can change its answers can sign in")
    return value


def _public_url(value: str) -> str:
    return _https_url(value.rstrip("/"))


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _scope_values(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        scope, equals, named = value.partition("=")
        if scope not in SCOPES or not equals or not named:
            raise ValueError(f"{value!r} is not SCOPE=VALUE with a scope of {', '.join(SCOPES)}")
    return values


def _syslog_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        is_whole = bool(parts.hostname) and parts.port is not None
    except ValueError:
        is_whole = False
    if not is_whole or parts.scheme not in SYSLOG_SCHEMES or parts.path or parts.query or "@" in value:
        raise ValueError(f"{value!r} is no receiver such as tls://syslog.example:6514")
    return value


Issuer = Annotated[str, AfterValidator(_https_url)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
ScopeValues = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split), AfterValidator(_scope_values)]
SyslogUrl = Annotated[str, AfterValidator(_syslog_url)]
