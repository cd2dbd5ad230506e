"""The port of a receiver, opened once and inherited by its processes."""

from __future__ import annotations

import ipaddress
import socket

from medsiglip.ingest.errors import PacsError

_WAITING_CONNECTIONS = 128


def bind(host: str, port: int) -> socket.socket:
    """A listening socket that child processes may inherit by its descriptor; port 0 takes a free one.

    Raises `PacsError` `port-in-use`, or `bad-address` for a host that is not of this machine.
    """
    try:
        is_ipv6 = ipaddress.ip_address(host).version == 6
    except ValueError:
        is_ipv6 = False
    listener = socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_WAITING_CONNECTIONS)
    except PermissionError:
        listener.close()
        raise PacsError(
            "bad-address", f"Port {port} may not be opened by this user; choose one from 1024 on."
        ) from None
    except OSError as error:
        listener.close()
        if isinstance(error, socket.gaierror) or port == 0:
            raise PacsError("bad-address", f"{host} is no address of this machine.") from None
        raise PacsError(
            "port-in-use",
            f"Port {port} of {host} cannot be opened: another program has it, or the address is "
            "not of this machine.",
        ) from None
    return listener


def inherited(descriptor: int) -> socket.socket:
    """The listening socket that the parent process opened."""
    listener = socket.socket(fileno=descriptor)
    listener.setblocking(False)
    return listener
