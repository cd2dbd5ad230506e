"""The HTTP service, put together: `create_app`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fastapi import FastAPI

from api import problems
from api.service import Archive
from api.settings import Settings, read_settings


@dataclass(slots=True)
class Server:
    """What the routes stand on, at `request.app.state.server`."""

    settings: Settings
    archive: Archive


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; nothing is opened before it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        chosen = settings or read_settings()
        with Archive.from_settings(chosen) as archive:
            archive.make()
            app.state.server = Server(chosen, archive)
            yield

    app = FastAPI(title="medsiglip", lifespan=lifespan)
    problems.install(app)
    return app
