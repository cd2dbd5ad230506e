"""`embed` and `render`: what the model makes of files, without an index."""

from __future__ import annotations

from api.errors import ServiceError
