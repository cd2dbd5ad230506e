"""API keys: made, listed and revoked; and the first one of a new home, which comes from a file."""

from __future__ import annotations

import re
import stat
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.api.archive.audit_trail import record_local
from medsiglip.api.errors import ServiceError
from medsiglip.index.errors import excerpt
from medsiglip.names import is_key_name

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.index.service.api_keys import ApiKey

BOOTSTRAP = "bootstrap"
_SPAN = re.compile(r"([1-9][0-9]{0,4})([hdw])", re.ASCII)
_HOURS = {"h": 1, "d": 24, "w": 24 * 7}
_MOST_BYTES = 4096


def create_key(
    archive: OpenedArchive, name: str, scopes: Sequence[str], *, expires: str | None = None
) -> dict[str, Any]:
    """Make a key; only this answer has the secret, in `key`. The home is made if it is not there yet.

    `expires` is a span (`12h`, `30d`, `8w`) or the last day or moment of the key in ISO 8601, UTC where it
    names no zone. Raises ServiceError `bad-key-name`, `bad-expiry`; CatalogError `bad-scope`.
    """
    require_key_name(name)
    until = None if expires is None else expiry(expires, datetime.now(UTC))
    archive.make()
    made, shown = archive.index.api_keys.create(name.strip(), scopes, expires_at=until)
    record_local(archive.index, "create-key", key_id=made.id, scopes=list(made.scopes))
    return {**key_row(made), "key": shown}


def require_key_name(name: str) -> None:
    """Raise ServiceError `bad-key-name` for what no key may be called."""
    if not is_key_name(name):
        raise ServiceError(
            "bad-key-name", "the name of a key is 1 to 100 printable characters: choose another."
        )


def list_keys(archive: OpenedArchive) -> dict[str, Any]:
    """All keys, oldest first, without their secrets."""
    return {"keys": [key_row(one) for one in archive.index.api_keys.listed()]}


def revoke_key(archive: OpenedArchive, key_id: str) -> dict[str, Any]:
    """End a key for good; raises CatalogError `unknown-key`."""
    revoked = end_key(archive.index, key_id)
    record_local(archive.index, "revoke-key", key_id=key_id)
    return key_row(revoked)


def end_key(index: CaseIndex, key_id: str) -> ApiKey:
    """End a key with its sessions; raises CatalogError `unknown-key`."""
    revoked = index.api_keys.revoke(key_id)
    index.sessions.end_of_key(key_id)
    return revoked


def rotate_secret(archive: OpenedArchive) -> dict[str, Any]:
    """Give the home another secret for its patient keys, and everything that it stores the later keys:
    `{"patients", "files", "forgotten", "texts", "secrets"}`.

    Raises IngestError and CatalogError as `medsiglip.ingest.privacy.key_rotation.rotate_key`.
    """
    from medsiglip.ingest.privacy.key_rotation import rotate_key

    done = rotate_key(archive.index)
    record_local(archive.index, "rotate-secret", patients=done["patients"], secrets=done["secrets"])
    return done


def take_bootstrap_key(index: CaseIndex, file: Path) -> ApiKey:
    """Make the secret in `file` an admin key of the home, unless it is one already.

    The file holds one line, a key or any secret of 32 to 512 letters, digits and `._~+/-`, such as
    `openssl rand -hex 32` makes. Another content later is another key; the former stays until it is revoked,
    and a revoked one stays revoked. Raises ServiceError `bad-bootstrap-key`.
    """
    from medsiglip.index.errors import CatalogError

    secret = _read_secret(file)
    former = index.api_keys.find(secret)
    if former is not None:
        return former
    try:
        made, _ = index.api_keys.create(BOOTSTRAP, ["admin"], key=secret)
    except CatalogError as error:
        if error.code != "bad-key":
            raise
        raise _bad_file(
            file, "does not hold one line of 32 to 512 letters, digits and ._~+/- that cannot be guessed"
        ) from None
    if made.revoked_at is None:
        record_local(index, "create-key", key_id=made.id, scopes=list(made.scopes))
    return made


def expiry(text: str, now: datetime) -> datetime:
    """When a key ends: `30d` from `now`, the end of a day, or a moment; raises ServiceError `bad-expiry`."""
    span = _SPAN.fullmatch(text)
    if span is not None:
        return now + timedelta(hours=int(span[1]) * _HOURS[span[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ServiceError(
            "bad-expiry", f"{excerpt(text)} is no expiry: give 12h, 30d, 8w or a date such as 2030-12-31."
        ) from None
    if len(text) <= 10:
        moment = datetime.combine(moment.date(), time.max)
    moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    if moment <= now:
        raise ServiceError("bad-expiry", f"{excerpt(text)} has passed already: give a later one.")
    return moment


def key_row(key: ApiKey) -> dict[str, Any]:
    """A key without its secret, as JSON."""
    row: dict[str, Any] = {"id": key.id, "name": key.name, "scopes": list(key.scopes)}
    for field in ("created_at", "expires_at", "revoked_at"):
        moment: datetime | None = getattr(key, field)
        row[field] = None if moment is None else moment.isoformat()
    return row


def _read_secret(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            mode = file.stat().st_mode
            content = stream.read(_MOST_BYTES)
    except OSError as error:
        raise _bad_file(file, f"cannot be read ({(error.strerror or 'no reason given').lower()})") from None
    if mode & stat.S_IWOTH:
        raise _bad_file(file, "can be written by everybody, so anybody could make himself an admin")
    secret = content.decode("ascii", "replace").strip()
    if not secret:
        raise _bad_file(file, "is empty")
    return secret


def _bad_file(file: Path, what: str) -> ServiceError:
    return ServiceError(
        "bad-bootstrap-key",
        f"{file} (MEDSIGLIP_BOOTSTRAP_KEY_FILE) {what}: put a secret there, as with `openssl rand -hex 32`, "
        "for the service's user to read.",
    )
