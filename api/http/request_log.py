"""The server's log: a line for each request, as JSON or text, without anything of a patient.

A line names the route by its template (`/v1/studies/{uid}`), never by path or query, which hold UIDs and the
words of a search. Of an unexpected error it has the type and the places in the code, not the message, which
may quote a file or a row.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, TextIO

# The id of the request that this thread or task works for.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
_FIELDS = "request"


def configure_logging(log_format: str, stream: TextIO | None = None) -> None:
    """Send the logs of this process to standard error, or `stream`, in one format: `json` or `text`. The
    server must be started without its own logging configuration and access log.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.WARNING)
    for name in ("medsiglip", "uvicorn"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger("uvicorn.access").disabled = True


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
