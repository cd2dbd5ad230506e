"""Where a Milvus server is: the setting `vector_url`, with the password from a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from medsiglip.index.errors import CatalogError

PORT = 19530
_SECURE = {"milvus": False, "milvuss": True}
_OPTIONS = {"server_name", "ca", "consistency"}
_SHAPE = "milvus://[user@]host[:port][/database]"


@dataclass(frozen=True, slots=True)
class Address:
    """A server and one of its databases. `ca` is a file of certificates that sign the server's, `server_name`
    the name that its certificate has where that is not `host`. With `waits` every search waits for all that
    was written before it began, which a collection with several replicas asks for.
    """

    host: str
    port: int
    database: str
    user: str = field(repr=False)
    password: str = field(repr=False)
    secure: bool
    server_name: str
    ca: Path | None
    waits: bool

    @property
    def name(self) -> str:
        """The URL without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'milvuss' if self.secure else 'milvus'}://{host}:{self.port}/{self.database}"

    @property
    def uri(self) -> str:
        """As pymilvus wants it, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


def read_address(url: str, password_file: Path | None = None) -> Address:
    """The address of a URL `milvus://[user@]host[:port][/database]`, or `milvuss` for TLS.

    Options after `?`: `ca=FILE` and `server_name=NAME` for TLS, `consistency=strong`. Raises `CatalogError`
    `bad-engine`; messages quote neither the URL nor the password.
    """
    try:
        parts = urlsplit(url)
        port = PORT if parts.port is None else parts.port
        given = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    except ValueError:
        raise _bad(f"it is no URL; write {_SHAPE}") from None
    if parts.scheme not in _SECURE or not parts.hostname or parts.fragment:
        raise _bad(f"it names no server; write {_SHAPE}")
    if parts.password:
        raise _bad("it holds a password; name a file with it in vector_password_file instead")
    options = {name: values[-1] for name, values in given.items()}
    if set(options) - _OPTIONS or options.get("consistency", "strong") != "strong":
        raise _bad("after ? it may have ca=FILE, server_name=NAME and consistency=strong")
    user = unquote(parts.username or "")
    if bool(user) != (password_file is not None):
        raise _bad("a user and vector_password_file go together; set both or none")
    database = unquote(parts.path.strip("/")) or "default"
    if "/" in database:
        raise _bad(f"a database has a name without a slash; write {_SHAPE}")
    ca = options.get("ca")
    return Address(
        parts.hostname,
        port,
        database,
        user,
        "" if password_file is None else _password(password_file),
        _SECURE[parts.scheme],
        options.get("server_name", ""),
        None if ca is None else Path(ca),
        "consistency" in options,
    )


def _password(file: Path) -> str:
    try:
        text = file.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise _bad("the file that vector_password_file names cannot be read as text") from None
    if not text:
        raise _bad("the file that vector_password_file names is empty")
    return text


def _bad(why: str) -> CatalogError:
    return CatalogError("bad-engine", f"The setting vector_url cannot be used: {why}.")
