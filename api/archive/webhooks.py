"""Webhooks: a listener outside is told that studies came in, a report was accepted, or a sync failed.

Each is a job that posts JSON to `webhook_url`, signed with the secret of `webhook_secret_file`, and waits up
to a day for a listener that is away. It names cases by the UIDs of the home, and nothing else of a person.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.api.settings import Settings

Event = Literal["study-ingested", "report-accepted", "sync-failed"]
SIGNATURE = "Medsiglip-Signature"
MOST_STUDIES = 1000
"""Studies that one announcement names at most."""
_SECONDS = 30.0
_FIRST_WAIT_S = 10.0
_LONGEST_SECRET = 4096
_MAY_PASS = frozenset({408, 425, 429, 500, 502, 503, 504})
_WAITS = ("pacs-busy", "outside-hours")
_log = logging.getLogger("medsiglip.webhooks")


@dataclass(frozen=True, slots=True)
class Announcements:
    """What a listener is to be told; nothing where the settings name none."""

    parameters: tuple[Mapping[str, Any], ...] = ()

    def insert(self, connection: Connection) -> None:
        """Let them be told, in a write transaction on the catalogue."""
        from medsiglip.index.service.announcements import insert_announcements

        _note_left_out(insert_announcements(connection, self.parameters))


def announcements(
    archive: OpenedArchive, event: Event, studies: Sequence[str] = (), **about: str | None
) -> Announcements:
    """The announcements of an event; `about` has the `report`, the `pacs` or the `code` that it is about."""
    if archive.settings.webhook_url is None:
        return Announcements()
    shared = {"event": event, "at": datetime.now(UTC).isoformat(timespec="seconds"), **about}
    parts = [studies[first : first + MOST_STUDIES] for first in range(0, len(studies) or 1, MOST_STUDIES)]
    return Announcements(
        tuple({**shared, "cases": [{"study_instance_uid": uid} for uid in part]} for part in parts)
    )


def announce(archive: OpenedArchive, event: Event, studies: Sequence[str] = (), **about: str | None) -> None:
    """Let the listener be told of an event, if there is one."""
    made = announcements(archive, event, studies, **about)
    if made.parameters:
        _note_left_out(archive.index.announcements.add(made.parameters))


@contextmanager
def announcing_new_studies(archive: OpenedArchive) -> Iterator[None]:
    """Announces the studies that gain an image within this context, also where it ends early."""
    if archive.settings.webhook_url is None:
        yield
        return
    from medsiglip.index.errors import CatalogError

    newest = archive.index.announcements.newest_image()
    try:
        yield
    except BaseException:
        with suppress(CatalogError):  # the error that ended it is the one to be told
            _announce_after(archive, newest)
        raise
    _announce_after(archive, newest)


@contextmanager
def announcing_failed_sync(archive: OpenedArchive, name: str) -> Iterator[None]:
    """Announces that the sync of a PACS failed within this context, but not that it had to wait its turn."""
    from medsiglip.index.errors import CatalogError
    from medsiglip.ingest.errors import PacsError

    try:
        yield
    except PacsError as error:
        if error.code not in _WAITS:
            with suppress(CatalogError):  # the error of the PACS is the one to be told
                announce(archive, "sync-failed", pacs=name, code=error.code)
        raise


def _announce_after(archive: OpenedArchive, image_id: int) -> None:
    studies = archive.index.announcements.studies_after(image_id)
    if studies:
        announce(archive, "study-ingested", studies)


def post_announcement(settings: Settings, job_id: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Tell the listener; its answer is not read beyond the status. The job's id stays the same at every try.

    Nothing is told of cases that were forgotten meanwhile, nor where the settings name no listener any more.
    Raises ServiceError `webhook-secret`, `webhook-refused`, and `webhook-unreachable`, which may pass.
    """
    url, cases = settings.webhook_url, parameters["cases"]
    if url is None or (not cases and parameters["event"] != "sync-failed"):
        return {"told": False}
    body = {
        "id": job_id,
        "event": parameters["event"],
        "at": parameters["at"],
        "studies": [one["study_instance_uid"] for one in cases],
        **{name: parameters.get(name) for name in ("report", "pacs", "code")},
    }
    content = json.dumps(body).encode("ascii")
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"medsiglip/{version('medsiglip')}",
        SIGNATURE: signature(_secret(settings.webhook_secret_file), content, int(time.time())),
    }
    status = asyncio.run(_post(url, content, headers))
    if 200 <= status < 300:
        return {"told": True}
    raise ServiceError(
        "webhook-refused",
        f"The listener of webhooks answered {status}: its own log has the reason.",
        retry_after=_FIRST_WAIT_S if status in _MAY_PASS else None,
    )


def signature(secret: bytes, content: bytes, moment: int) -> str:
    """`t=<seconds since 1970>,v1=<hex>`: HMAC-SHA256 of the moment, a dot and the body. A listener refuses
    what is older than it allows, so that nobody plays a message back.
    """
    digest = hmac.new(secret, f"{moment}.".encode("ascii") + content, hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


def _secret(file: Path | None) -> bytes:
    reason = "set MEDSIGLIP_WEBHOOK_SECRET_FILE to a file that holds it"
    if file is not None:
        try:
            with file.expanduser().open("rb") as stream:
                secret = stream.read(_LONGEST_SECRET + 1)
            if secret.strip() and len(secret) <= _LONGEST_SECRET:
                return secret.strip()
            reason = "its file is empty" if not secret.strip() else f"it has over {_LONGEST_SECRET} bytes"
        except OSError as error:
            reason = f"its file cannot be read ({(error.strerror or type(error).__name__).lower()})"
    raise ServiceError("webhook-secret", f"Webhooks are signed with a secret: {reason}.")


async def _post(url: str, content: bytes, headers: Mapping[str, str]) -> int:
    """The status of the answer, which comes within `_SECONDS` as a whole."""
    import httpx

    # The certificates that this machine trusts, or those of SSL_CERT_FILE.
    trusted = ssl.create_default_context()
    try:
        async with (
            asyncio.timeout(_SECONDS),
            httpx.AsyncClient(
                verify=trusted, timeout=_SECONDS, trust_env=False, follow_redirects=False
            ) as client,
            client.stream("POST", url, content=content, headers=dict(headers)) as answer,
        ):
            return answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
        raise ServiceError(
            "webhook-unreachable",
            f"The listener of webhooks cannot be told ({type(error).__name__}): it is tried again for a day.",
            retry_after=_FIRST_WAIT_S,
        ) from None


def _note_left_out(count: int) -> None:
    if count:
        _log.warning("%d webhooks are left out: too many wait for the listener", count)
