"""Another secret for the patient keys of a home.

The file gets the new secret first, behind the others; then one transaction changes the catalogue, whose
fingerprint says which secrets count. A process that is killed between the two leaves a secret that does not
count yet, and the next rotation takes it.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.privacy.deidentify import KEY_BYTES, KEY_FILE, SecretKey, known_key
from medsiglip.ingest.privacy.generations import later_mark, later_patient_key

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex

MOST_SECRETS = 1000


def rotate_key(index: CaseIndex) -> dict[str, Any]:
    """Give the home another secret, and everything that it stores of patients the keys of that.

    Returns the counts of `rotate_pseudonyms` and `secrets`, how many the file holds. Raises `IngestError`
    `no-secret-key`, `strict-home`, `secret-key-unreadable`, `too-many-secrets`; `CatalogError`
    `key-mismatch`, `jobs-running`.
    """
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
    if len(whole.newer) == count:
        whole = whole.followed_by(secrets.token_bytes(KEY_BYTES))
        _write(index.home / KEY_FILE, whole)
    # A secret that a killed rotation left is good: nothing was named by it.
    new = key.followed_by(whole.newer[count])
    added = new.newer[count:]
    counts = index.rotate_pseudonyms(
        (key.fingerprint, new.fingerprint),
        lambda former: later_patient_key(former, added),
        lambda former: later_mark(former, added),
    )
    return {**counts, "secrets": 1 + len(new.newer)}


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
        raise IngestError(
            "secret-key-unreadable",
            f"{path} cannot be replaced ({error.strerror}); check its owner and permissions.",
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
