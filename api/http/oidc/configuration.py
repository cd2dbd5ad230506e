"""What the settings say of the OpenID provider."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from pathlib import Path

    from medsiglip.api.settings import Settings

CALLBACK = "/app/session/oidc/callback"
_LONGEST_SECRET = 4096


@dataclass(frozen=True, slots=True)
class OidcConfiguration:
    """The provider and what its people may do here; the secret is in no `repr`.

    `scopes` has, for each scope of an API key, the values of the claim that give it. `audience` is None where
    access tokens are not taken.
    """

    issuer: str
    client_id: str
    public_url: str
    request: str
    claim: str
    scopes: Mapping[str, frozenset[str]]
    audience: str | None
    secret: str | None = field(repr=False)

    @property
    def redirect_uri(self) -> str:
        """Where the provider sends browsers back to; it must be registered there."""
        return self.public_url + CALLBACK

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach this service by TLS."""
        return self.public_url.startswith("https://")


def oidc_configuration(settings: Settings) -> OidcConfiguration | None:
    """The provider that the settings name, or None.

    Raises ServiceError `bad-setting` for one that is named by half, `missing-extra`.
    """
    if settings.oidc_issuer is None:
        return None
    if settings.oidc_client_id is None or settings.oidc_public_url is None:
        lacking = "oidc_client_id" if settings.oidc_client_id is None else "oidc_public_url"
        raise ServiceError("bad-setting", f"oidc_issuer is set without {lacking}: set both.")
    if not settings.oidc_scopes:
        raise ServiceError(
            "bad-setting",
            "oidc_issuer is set without oidc_scopes, so nobody could sign in: say what the values of "
            f"{settings.oidc_claim} allow, as in read=radiology.",
        )
    if settings.oidc_audience == settings.oidc_client_id:
        raise ServiceError(
            "bad-setting",
            "oidc_audience is oidc_client_id, so that a token that only says who signed in would open the "
            "API: give the API an audience of its own at the provider.",
        )
    if "openid" not in settings.oidc_request.split():
        raise ServiceError("bad-setting", "oidc_request lacks the scope openid: add it.")
    _require_library()
    scopes: dict[str, set[str]] = {}
    for one in settings.oidc_scopes:
        scope, _, value = one.partition("=")
        scopes.setdefault(scope, set()).add(value)
    file = settings.oidc_client_secret_file
    return OidcConfiguration(
        issuer=settings.oidc_issuer,
        client_id=settings.oidc_client_id,
        public_url=settings.oidc_public_url,
        request=" ".join(settings.oidc_request.split()),
        claim=settings.oidc_claim,
        scopes={scope: frozenset(values) for scope, values in scopes.items()},
        audience=settings.oidc_audience,
        secret=None if file is None else _secret(file),
    )


def _secret(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            found = stream.read(_LONGEST_SECRET + 1).decode("ascii", "replace").strip()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ServiceError(
            "bad-setting", f"oidc_client_secret_file {file} cannot be read: {reason}."
        ) from None
    if not found or len(found) > _LONGEST_SECRET or not found.isprintable() or not found.isascii():
        raise ServiceError(
            "bad-setting", f"oidc_client_secret_file {file} does not hold one line of printable ASCII."
        )
    return found


def _require_library() -> None:
    try:
        import cryptography  # noqa: F401
        import jwt  # noqa: F401
    except ImportError:
        raise ServiceError(
            "missing-extra",
            "oidc_issuer needs a library that checks signatures: pip install 'medsiglip[oidc]'.",
        ) from None
