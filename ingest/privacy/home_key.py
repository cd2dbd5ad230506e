"""The key of a home's pseudonyms, and what the home keeps of a person."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from medsiglip.ingest.privacy.deidentify import Phi, SecretKey

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex


def known_key(index: CaseIndex) -> SecretKey | None:
    """The key that the home is tied to, None if to none yet; never makes one.

    Raises `CatalogError` `key-mismatch` where the key file is missing or another.
    """
    if index.key_fingerprint is None:
        return None
    key = SecretKey.open(index.home) if (index.home / "secret.key").exists() else None
    index.bind_key(key.fingerprint if key else "")
    return _settled(index, key) if key else None


def bound_key(index: CaseIndex, phi: Phi | None = None) -> SecretKey:
    """The key of the home, which keeps `phi` of a person; made only where the index is tied to none yet.

    Raises `CatalogError` `key-mismatch` and `phi-mismatch`.
    """
    if index.key_fingerprint is not None and not (index.home / "secret.key").exists():
        index.bind_key("", phi)
    key = SecretKey.open(index.home)
    index.bind_key(key.fingerprint, phi)
    return _settled(index, key)


def _settled(index: CaseIndex, key: SecretKey) -> SecretKey:
    """The key with what its home keeps; from here on the index stores no path that it must not."""
    key = replace(key, phi=cast(Phi, index.phi or "pseudonymous"))
    if key.phi == "strict":
        index.hide_paths(key.path)
    return key
