"""Whether a token is right, and what it allows.

ID tokens by OpenID Connect Core 1.0, section 3.1.3.7; access tokens by RFC 9068, section 4. Signatures are
checked by PyJWT, with the asymmetric algorithms of RFC 7518 and RFC 8037 alone: never `none`, and never one
whose key both sides know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.oidc.configuration import OidcConfiguration
from medsiglip.api.http.oidc.provider import Provider

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
SKEW_SECONDS = 60
"""How far the clocks of the provider and of this machine may be apart."""
LONGEST_TOKEN = 16_384
_LONGEST_SUBJECT = 255
_MOST_VALUES = 10_000


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a token is about: `subject` at the issuer, a name to show, scopes of an API key, and the end of
    the token in seconds since 1970.
    """

    subject: str
    name: str
    scopes: tuple[str, ...]
    expires_at: int


class TokenCheck:
    """Checks the tokens of one provider."""

    def __init__(self, configuration: OidcConfiguration, provider: Provider) -> None:
        self._configuration = configuration
        self._provider = provider

    def id_token(self, token: str, nonce: str) -> Person:
        """The person of an ID token that was made for this service and this sign-in, who may be allowed
        nothing.

        Raises ServiceError `sign-in-refused`, `provider-unreachable`, `wrong-provider`.
        """
        own = self._configuration
        claims = self._claims(token, own.client_id, "sign-in-refused")
        named = claims.get("nonce")
        if not isinstance(named, str) or not compare_digest(named.encode(), nonce.encode()):
            raise refused("sign-in-refused", "belongs to another sign-in")
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else own.client_id) != own.client_id:
            raise refused("sign-in-refused", "was made for another service")
        return self._person(claims)

    def access_token(self, token: str) -> Person:
        """The person, or the program, of an access token that was made for this API.

        Raises ServiceError `wrong-token`, `no-access`, `provider-unreachable`, `wrong-provider`.
        """
        audience = self._configuration.audience
        if audience is None:
            raise refused("wrong-token", "is not taken here: use an API key")
        claims = self._claims(token, audience, "wrong-token")
        if "nonce" in claims or claims.get("typ") == "ID":
            raise refused("wrong-token", "says who signed in and is no access token")
        person = self._person(claims)
        if not person.scopes:
            raise no_access()
        return person

    def _claims(self, token: str, audience: str, code: str) -> dict[str, Any]:
        import jwt

        try:
            if len(token) > LONGEST_TOKEN:
                raise jwt.InvalidTokenError
            header = jwt.get_unverified_header(token)
            return jwt.decode(
                token,
                self._key(header),
                algorithms=list(ALGORITHMS),
                audience=audience,
                issuer=self._configuration.issuer,
                leeway=SKEW_SECONDS,
                options={"require": ["iss", "sub", "aud", "exp", "iat"]},
            )
        except jwt.ExpiredSignatureError:
            raise refused(code, "has expired") from None
        except jwt.InvalidAudienceError:
            raise refused(code, "was made for another service") from None
        except jwt.InvalidIssuerError:
            raise refused(code, "was made by another provider") from None
        except jwt.ImmatureSignatureError:
            raise refused(code, "is not valid yet: compare the clocks of both machines") from None
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            raise refused(code, "is none that this provider signed") from None

    def _key(self, header: Mapping[str, Any]) -> Any:
        """The key that a token names, for its algorithm; with one key alone a token may name none."""
        import jwt

        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS or not isinstance(key_id, str | None):
            raise jwt.InvalidAlgorithmError
        fitting = [
            one
            for one in self._provider.known(key_id=key_id).keys
            if one.get("use", "sig") == "sig"
            and one.get("alg", algorithm) == algorithm
            and one.get("kty") in ("RSA", "EC", "OKP")
            and (key_id is None or one.get("kid") == key_id)
        ]
        if len(fitting) != 1:
            raise jwt.InvalidKeyError
        return jwt.PyJWK(dict(fitting[0]), algorithm=algorithm)

    def _person(self, claims: Mapping[str, Any]) -> Person:
        subject = claims["sub"]
        if not 0 < len(subject) <= _LONGEST_SUBJECT:
            raise refused("sign-in-refused", "names nobody")
        scopes = allowed_scopes(self._configuration, claims)
        return Person(subject, _name(claims, subject), scopes, int(claims["exp"]))


def allowed_scopes(configuration: OidcConfiguration, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The scopes that the values of the claim give, in the order of the settings.

    A claim is a list of texts, or a text of several words, as `scope` is (RFC 8693, section 4.2).
    """
    found = _claim(configuration.claim, claims)
    values = [*found.split(), found] if isinstance(found, str) else found
    if not isinstance(values, list):
        return ()
    held = {value for value in values[:_MOST_VALUES] if isinstance(value, str)}
    return tuple(scope for scope, named in configuration.scopes.items() if named & held)


def _claim(name: str, claims: Mapping[str, Any]) -> Any:
    """The claim of this name, which may hold dots as URLs do, or the one along the names between dots."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _name(claims: Mapping[str, Any], subject: str) -> str:
    for claim in ("preferred_username", "email", "name", "client_id", "azp"):
        value = claims.get(claim)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return subject


def no_access() -> ServiceError:
    """The refusal of somebody who has no role here."""
    return ServiceError(
        "no-access",
        "the provider knows you, and nothing that it says of you opens this service: ask its administrator "
        "for a role of oidc_scopes.",
    )


def refused(code: str, why: str) -> ServiceError:
    """The refusal of a token, which it does not repeat."""
    return ServiceError(code, f"the token {why}." if ":" in why else f"the token {why}: sign in again.")
