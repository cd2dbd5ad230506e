"""Errors of pymilvus as `CatalogError`: a server that is away, and one that does not let this user in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from medsiglip.index.engines.milvus.address import Address
from medsiglip.index.errors import CatalogError

NO_COLLECTION = 100
# Milvus's own codes (github.com/milvus-io/milvus, pkg/util/merr/errors.go).
_NOT_LOADED = {101, 103}
_AWAY = {1, 2, 3, 5, 6, 7, 8, 9, *_NOT_LOADED, *range(500, 700), *range(900, 1000), *range(1000, 1100)}
_REFUSED = {800, 1400, 1401}
_AWAY_STATES = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "ABORTED", "RESOURCE_EXHAUSTED"}
_REFUSED_STATES = {"UNAUTHENTICATED", "PERMISSION_DENIED"}
_REFUSED_WORDS = ("auth check fail", "permission deny", "unauthenticated", "database not found")
_AWAY_WORDS = (
    "fail connecting",
    "not ready",
    "not loaded",
    "fully loaded",
    "no available",
    "shutdown",
    "is closed",
    # What pymilvus and the proxy say when their time is over.
    "retry timeout",
    "context done",
    "deadline exceeded",
)
_LONGEST = 200


def is_missing(error: Exception) -> bool:
    """Whether an error says that there is no such collection."""
    return getattr(error, "code", None) == NO_COLLECTION


def is_unloaded(error: Exception) -> bool:
    """Whether an error says that the collection is not in memory, or not all of it."""
    return getattr(error, "code", None) in _NOT_LOADED


def from_milvus(error: Exception, address: Address) -> CatalogError:
    """The error for a person."""
    states = set(_states(error))
    text = str(getattr(error, "message", "") or "").lower()
    if states & _REFUSED_STATES or _code(error) in _REFUSED or any(word in text for word in _REFUSED_WORDS):
        return refused(address)
    if states & _AWAY_STATES or _code(error) in _AWAY or any(word in text for word in _AWAY_WORDS):
        return unreachable(address)
    reason = " ".join(text.split())[:_LONGEST] or type(error).__name__
    return CatalogError("engine-refused", f"The vector engine {address.name} refuses a request ({reason}).")


def refused(address: Address) -> CatalogError:
    """The error of a server that does not let this user in."""
    return CatalogError(
        "engine-refused",
        f"The vector engine {address.name} refuses this service; correct the user, the password file or the "
        "database, or what the user may do there.",
    )


def unreachable(address: Address) -> CatalogError:
    """The error of a server that does not answer, or not yet."""
    return CatalogError(
        "engine-unreachable",
        f"The vector engine {address.name} does not answer; check that it runs and can be reached.",
    )


def _code(error: Exception) -> int | None:
    code: Any = getattr(error, "code", None)
    return int(code) if isinstance(code, int) else None


def _states(error: BaseException | None) -> Iterator[str]:
    """The states of calls by gRPC (grpc.StatusCode) that led to an error, in which pymilvus wraps them.

    It raises some errors from themselves.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        code: Any = getattr(error, "code", None)
        code = code() if callable(code) else code
        yield str(getattr(code, "name", ""))
        error = error.__cause__
