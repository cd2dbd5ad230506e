"""A small OpenID provider on loopback, whose tokens a test may spoil. It signs with joserfc, while the
service checks with PyJWT.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

CLIENT, SECRET = "archive", "s3cret/+ of:the client"
AUDIENCE = "https://api.archive.example"


@dataclass
class OpenIdProvider:
    """What it knows and says; `spoil` changes the claims of the next ID tokens (None removes one)."""

    port: int = 0
    first: Any = field(default_factory=lambda: RSAKey.generate_key(2048))
    people: int = 0

    def reset(self) -> None:
        """As at first, with another person."""
        self.people += 1
        self.subject = f"person-{self.people}"
        self.keys: dict[str, Any] = {"first": self.first}
        self.signing, self.algorithm = "first", "RS256"
        self.codes: dict[str, dict[str, str]] = {}
        self.claims: dict[str, Any] = {
            "sub": self.subject,
            "preferred_username": f"anna-{self.people}",
            "groups": ["radiology"],
        }
        self.spoil: dict[str, Any] = {}
        self.discovery: dict[str, Any] = {}
        self.asked: list[str] = []
        self.bodies: list[dict[str, list[str]]] = []
        self.authorizations: list[str | None] = []
        self.raw_token: str | None = None
        self.is_away = False

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}/realm"

    def rotate(self, name: str, *, kind: str = "RSA") -> None:
        """Sign with another key from now on; the former is gone."""
        made = RSAKey.generate_key(2048) if kind == "RSA" else ECKey.generate_key("P-256")
        self.keys = {name: made}
        self.signing, self.algorithm = name, "RS256" if kind == "RSA" else "ES256"

    def signed(self, claims: dict[str, Any], **header: Any) -> str:
        head = {"alg": self.algorithm, "kid": self.signing, **header}
        whole = {name: value for name, value in head.items() if value is not None}
        return str(jwt.encode(whole, claims, self.keys[self.signing], algorithms=[whole["alg"]]))

    def access_token(self, **claims: Any) -> str:
        now = int(time.time())
        own = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + 300,
            "client_id": "robot",
            **self.claims,
            **claims,
        }
        return self.signed({name: value for name, value in own.items() if value is not None}, typ="at+jwt")

    def id_token(self, nonce: str | None, client: str = CLIENT) -> str:
        now = int(time.time())
        own = {"iss": self.issuer, "aud": client, "iat": now, "exp": now + 300, "nonce": nonce}
        claims = {**own, **self.claims, **self.spoil}
        return self.signed({name: value for name, value in claims.items() if value is not None})

    def authorized(self, location: str) -> dict[str, str]:
        """What a browser brings back that was sent to `location` and whose person agreed."""
        parts = urlsplit(location)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.issuer}/authorize"
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        assert (asked["response_type"], asked["code_challenge_method"]) == ("code", "S256")
        code = f"code-{len(self.codes)}-{time.monotonic_ns()}"
        self.codes[code] = asked
        return {"state": asked["state"], "code": code}

    def _answer(self, method: str, path: str, body: bytes, authorization: str | None) -> tuple[int, Any]:
        self.asked.append(path)
        if self.is_away:
            return 503, {}
        if path == "/realm/.well-known/openid-configuration":
            return 200, {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                **self.discovery,
            }
        if path == "/realm/keys":
            dumped = [{**key.as_dict(private=False), "kid": kid} for kid, key in self.keys.items()]
            return 200, {"keys": dumped}
        if path == "/realm/token" and method == "POST":
            return self._token(parse_qs(body.decode()), authorization)
        return 404, {}

    def _token(self, form: dict[str, list[str]], authorization: str | None) -> tuple[int, Any]:
        self.bodies.append(form)
        self.authorizations.append(authorization)
        if authorization is not None:
            user, _, secret = base64.b64decode(authorization.partition(" ")[2]).decode().partition(":")
            if (unquote(user), unquote(secret)) != (CLIENT, SECRET):
                return 401, {"error": "invalid_client"}
        elif form.get("client_id") != [CLIENT] or form.get("client_secret", [SECRET]) != [SECRET]:
            return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form["code"][0], None)  # a code is good once
        if asked is None or form["redirect_uri"] != [asked["redirect_uri"]]:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form["code_verifier"][0].encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        token = self.raw_token or self.id_token(asked.get("nonce"))
        return 200, {"access_token": "opaque", "token_type": "Bearer", "id_token": token}


@contextmanager
def running_provider() -> Iterator[OpenIdProvider]:
    """A provider that answers until the context ends."""
    provider = OpenIdProvider()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            if self.path.startswith("/realm/authorize?"):  # of a browser, whose person agrees at once
                brought = provider.authorized(f"http://127.0.0.1:{provider.port}{self.path}")
                self.send_response(302)
                place = provider.codes[brought["code"]]["redirect_uri"]
                self.send_header("Location", f"{place}?{urlencode(brought)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, answer = provider._answer(
                self.command, self.path, body, self.headers.get("authorization")
            )
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _handle  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
