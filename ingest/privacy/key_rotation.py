"""Another secret for the patient keys of a home.

Inside of one transaction, once nothing hinders it, the file gets the new secret behind the others; then the
catalogue changes, whose fingerprint says which secrets count. A process that is killed between the two leaves
a secret that does not count yet, and the next rotation takes it. A home has one rotation at a time.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.privacy.deidentify import KEY_BYTES, KEY_FILE, SecretKey, known_key
from medsiglip.ingest.privacy.generations import later_mark, later_patient_key

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex

MOST_SECRETS = 1000
LOCK_FILE = "secret.key.lock"


def rotate_key(index: CaseIndex) -> dict[str, Any]:
    """Give the home another secret, and everything that it stores of patients the keys of that.

    Returns the counts of `rotate_pseudonyms` and `secrets`, how many the file holds. Raises `IngestError`
    `no-secret-key`, `strict-home`, `secret-key-unreadable`, `too-many-secrets`; `CatalogError`
    `key-mismatch`, `jobs-running`, `sync-running`.
    """
    with _alone(index.home):
        return _rotated(index)


def _rotated(index: CaseIndex) -> dict[str, Any]:
    key = known_key(index)
    if key is None:
        raise IngestError("no-secret-key", f"{index.home} has no secret key yet: nothing is to be changed.")
    if key.phi == "strict":
        raise IngestError(
            "strict-home",
            "A strict home names studies, files and dates by its key too, also in the audit trail, in "
            "exports and in documents that were sent, which cannot be renamed: make a new home and ingest "
            "again, with another key.",
        )
    whole = SecretKey.open(index.home)
    if len(whole.newer) >= MOST_SECRETS:
        raise IngestError("too-many-secrets", f"{index.home / KEY_FILE} holds {MOST_SECRETS} secrets.")
    count = len(key.newer)
    is_made = len(whole.newer) == count
    if is_made:
        whole = whole.followed_by(secrets.token_bytes(KEY_BYTES))
    # A secret that a killed rotation left is good: nothing was named by it.
    new = key.followed_by(whole.newer[count])
    added = new.newer[count:]
    counts = index.rotate_pseudonyms(
        (key.fingerprint, new.fingerprint),
        lambda former: later_patient_key(former, added),
        lambda former: later_mark(former, added),
        lambda: _write(index.home / KEY_FILE, whole) if is_made else None,
    )
    return {**counts, "secrets": 1 + len(new.newer)}


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Wait for another rotation of the home, of this process or another one. Two at once would each write a
    file without the secret of the other, of which the catalogue may be by then.
    """
    path = home / LOCK_FILE
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write(path: Path, key: SecretKey) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key.secret + b"".join(key.newer))
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise _unwritable(path, error) from None
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(path: Path, error: OSError) -> IngestError:
    return IngestError(
        "secret-key-unreadable",
        f"{path} cannot be written ({error.strerror}); check its owner and permissions.",
    )
