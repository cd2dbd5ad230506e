"""What a running server does on SIGHUP: it opens its log anew and takes over the settings that may change."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.request_log import configure_logging

if TYPE_CHECKING:
    from fastapi import FastAPI

    from medsiglip.api.settings import Settings

RELOADED = (
    "ingest_roots",
    "rate_limit",
    "rate_burst",
    "session_seconds",
    "max_upload_bytes",
    "max_upload_files",
    "upload_pause_seconds",
    "upload_seconds",
    "min_free_bytes",
    "generators",
    "uncertain_low",
    "uncertain_high",
    "log_format",
    "log_file",
)
"""The settings that a running server and its workers take over; the others need a restart."""
_log = logging.getLogger("medsiglip.service")


def reloaded(current: Settings, read: Callable[[], Settings]) -> Settings:
    """The current settings with the values of `RELOADED` as they are now; the log is opened anew.

    Settings that cannot be used change nothing: the log says why.
    """
    try:
        found = read()
        configure_logging(found.log_format, file=found.log_file)
    except (ServiceError, OSError) as error:
        configure_logging(current.log_format, file=current.log_file)
        _log.error("the settings stay as they are: %s", error)
        return current
    changed = [name for name in RELOADED if getattr(found, name) != getattr(current, name)]
    waiting = [
        name
        for name in type(current).model_fields
        if name not in RELOADED and getattr(found, name) != getattr(current, name)
    ]
    _log.info("reloaded; changed: %s", ", ".join(changed) or "nothing")
    if waiting:
        _log.warning("these settings change when the service is restarted: %s", ", ".join(waiting))
    return current.model_copy(update={name: getattr(found, name) for name in changed})


def reload(app: FastAPI, read: Callable[[], Settings]) -> None:
    """Have a started application take over its settings."""
    server = app.state.server
    server.settings = server.archive.settings = reloaded(server.settings, read)
    app.state.gate.limit(server.settings)
