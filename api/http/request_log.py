"""The server's log: a line for each request, as JSON or text, without anything of a patient.

A line names the route by its template (`/v1/studies/{uid}`), never by path or query, which hold UIDs and the
words of a search. Of an unexpected error it has the type and the places in the code, not the message, which
may quote a file or a row.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

# The id of the request that this thread or task works for.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_FIELDS = "request"


def configure_logging(log_format: str, stream: TextIO | None = None, file: Path | None = None) -> None:
    """Send the logs of this process to `file`, else to `stream`, else to standard error, in one format:
    `json` or `text`. The server must be started without its own logging configuration and access log.

    A file that was moved away is made anew before the next line. Raises OSError.
    """
    handler = logging.StreamHandler(stream or sys.stderr) if file is None else _log_file(file)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    for former in root.handlers:
        if isinstance(former, WatchedFileHandler):
            former.close()
    root.handlers = [handler]
    logging.captureWarnings(True)
    logging.raiseExceptions = False  # a line that cannot be written must not put a traceback in its place
    root.setLevel(logging.WARNING)
    for name in ("medsiglip", "uvicorn"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger("uvicorn.access").disabled = True


def _log_file(file: Path) -> WatchedFileHandler:
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o640))
    return WatchedFileHandler(file, encoding="utf-8")


@contextmanager
def unhandled_errors_logged() -> Iterator[None]:
    """Log what ends a thread or fails where nobody can catch it; Python would print a traceback with its
    texts.
    """
    log = logging.getLogger("medsiglip.service")

    def in_thread(found: threading.ExceptHookArgs) -> None:
        if found.exc_value is not None:
            log.error("a thread ended", exc_info=found.exc_value)

    def unraisable(found: Any) -> None:
        log.error("an error was passed over", exc_info=found.exc_value)

    before = threading.excepthook, sys.unraisablehook
    threading.excepthook, sys.unraisablehook = in_thread, unraisable
    try:
        yield
    finally:
        threading.excepthook, sys.unraisablehook = before


def log_request(logger: logging.Logger, fields: dict[str, Any]) -> None:
    """Log one line about a finished request; `fields` are those of `medsiglip.api.http.middleware`."""
    message = " ".join(f"{name}={value}" for name, value in fields.items() if value is not None)
    logger.info(message, extra={_FIELDS: fields})


class _RedactingFormatter(logging.Formatter):
    def formatException(self, ei: Any) -> str:  # noqa: N802 (the name is logging's)
        """Types and places of the error and of its causes, outermost last, without their messages."""
        _, error, _ = ei
        return "" if error is None else " <- ".join(_error_chain(error))


class JsonFormatter(_RedactingFormatter):
    """One JSON object a line: `time` in UTC, `level`, `logger`, the fields of a request, or `message`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        fields = getattr(record, _FIELDS, None)
        if fields is None:
            line["message"] = record.getMessage()
            line["request_id"] = request_id.get()
        else:
            line |= fields
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


class TextFormatter(_RedactingFormatter):
    """Time, level and message; line breaks in a message are escaped, so that each record stays one line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        message = record.getMessage()
        if not hasattr(record, _FIELDS) and (found := request_id.get()):
            message += f" request_id={found}"
        if record.exc_info:
            message += f" error={self.formatException(record.exc_info)}"
        return f"{time} {record.levelname} {record.name} {message}".replace("\r", "\\r").replace("\n", "\\n")


def _error_chain(error: BaseException) -> list[str]:
    """`Kind (file:line in function, ...)` of an error and its causes, innermost frames first."""
    chain: list[str] = []
    found: BaseException | None = error
    while found is not None and len(chain) < 5:
        chain.append(f"{type(found).__name__} ({_frames(found.__traceback__)})")
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return chain


def _frames(trace: TracebackType | None) -> str:
    frames = traceback.extract_tb(trace)[-8:]
    return ", ".join(f"{one.filename}:{one.lineno} in {one.name}" for one in reversed(frames))
