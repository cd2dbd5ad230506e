"""The sockets that the server listens on, and whether it may listen there."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING

from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.index.service.api_keys import ApiKeys

_BACKLOG = 2048


def open_sockets(host: str, port: int, keys: ApiKeys, *, is_closed: bool = False) -> list[socket.socket]:
    """Bound sockets for every address of a host; port 0 takes a free one, the same for all.

    `is_closed` says that nobody is let in without a key, though none was made. Raises ServiceError
    `key-needed` for an address that others can reach while no API key was ever made,
    `bad-host`, `address-in-use` or `no-permission`.
    """
    host = _without_brackets(host)
    addresses = _addresses(host, port)
    if not (is_closed or keys.any_made()):
        _refuse_others(host, [address[0] for _, address in addresses])
    opened: list[socket.socket] = []
    try:
        for family, address in addresses:
            chosen = opened[0].getsockname()[1] if opened and port == 0 else address[1]
            opened.append(_bound(family, (address[0], chosen, *address[2:])))
    except OSError as error:
        for one in opened:
            one.close()
        raise _refused(error, host, port) from None
    return opened


def url_of(host: str, opened: Sequence[socket.socket]) -> str:
    """The URL of the service, with the port that was taken."""
    host = _without_brackets(host)
    address, port = opened[0].getsockname()[:2]
    name = address if ipaddress.ip_address(address.partition("%")[0]).is_unspecified else host or address
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def _without_brackets(host: str) -> str:
    """An IPv6 address as URLs and other servers write it, `[::1]`, without the brackets (RFC 3986, 3.2.2)."""
    return host[1:-1] if host.startswith("[") and host.endswith("]") and ":" in host else host


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise ServiceError(
            "bad-host", f"--host {host!r} is no address of this machine: give 127.0.0.1, or 0.0.0.0 for all."
        ) from None
    return list(dict.fromkeys((family, address) for family, _, _, _, address in found))  # type: ignore[misc]


def _refuse_others(host: str, addresses: Sequence[str]) -> None:
    if all(ipaddress.ip_address(address.partition("%")[0]).is_loopback for address in addresses):
        return
    raise ServiceError(
        "key-needed",
        f"no API key was made yet, and without one everybody who reaches {host or 'this machine'} could do "
        "everything: make one with `medsiglip keys create NAME --scopes admin`, name a file with a secret in "
        "MEDSIGLIP_BOOTSTRAP_KEY_FILE, or listen on 127.0.0.1.",
    )


def _bound(family: socket.AddressFamily, address: tuple[str | int, ...]) -> socket.socket:
    # asyncio turns Nagle's algorithm off only if the protocol is given; with it, responses wait for 40 ms.
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind(address)
        opened.listen(_BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


def _refused(error: OSError, host: str, port: int) -> ServiceError:
    if error.errno == errno.EADDRINUSE:
        return ServiceError(
            "address-in-use",
            f"another program listens on {host} port {port}: end it, or choose another --port (0 takes a "
            "free one).",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return ServiceError("no-permission", f"port {port} is not for this user: choose one above 1023.")
    if error.errno == errno.EADDRNOTAVAIL:
        return ServiceError("bad-host", f"{host} is no address of this machine: give 127.0.0.1 or 0.0.0.0.")
    return ServiceError("bad-host", f"{host} port {port} cannot be listened on ({error.strerror}).")
