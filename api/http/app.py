"""The HTTP service, put together: `create_app`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from anyio import to_thread
from fastapi import Depends, FastAPI

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.keys import take_bootstrap_key
from medsiglip.api.archive.received import sweep
from medsiglip.api.archive.syslog.forwarding import forwarding
from medsiglip.api.http import middleware, problems
from medsiglip.api.http.auditing import ShownStudies
from medsiglip.api.http.auth import open_gate
from medsiglip.api.http.messages.query_parameters import known_query
from medsiglip.api.http.oidc import routes as oidc_routes
from medsiglip.api.http.oidc.routes import open_oidc
from medsiglip.api.http.routes import (
    audit,
    calibrations,
    docs,
    embeddings,
    evaluations,
    images,
    info,
    ingest,
    jobs,
    models,
    operations,
    probe_cards,
    probe_registry,
    probes,
    questions,
    reports,
    routing_rules,
    spaces,
    studies,
    why,
)
from medsiglip.api.http.routes.access import audit_pages, folders, health, keys, sessions, views
from medsiglip.api.http.routes.browsing import cases as browsed_cases
from medsiglip.api.http.routes.browsing import collections
from medsiglip.api.http.routes.dicomweb import drawings, headers, pixels, searching, storing
from medsiglip.api.http.routes.labelling import labels, reading
from medsiglip.api.http.routes.mapping import making as map_making
from medsiglip.api.http.routes.mapping import reading as map_reading
from medsiglip.api.http.routes.pacs import bringing_in, deliveries
from medsiglip.api.http.routes.pacs import connections as pacs_connections
from medsiglip.api.http.routes.pacs import files as pacs_files
from medsiglip.api.http.routes.pacs.turns import Turns
from medsiglip.api.http.routes.problem_answers import PROBLEMS
from medsiglip.api.http.screen import files as screen
from medsiglip.api.http.screen import ohif, signed_in
from medsiglip.api.http.sessions.session_gate import SessionGate
from medsiglip.api.settings import Settings, read_settings
from medsiglip.index.errors import CatalogError

_SWEEP_SECONDS = 600.0
_log = logging.getLogger("medsiglip.operations")


@dataclass(slots=True)
class Server:
    """What the routes stand on, at `request.app.state.server`."""

    settings: Settings
    archive: Archive


async def _sweep_regularly(server: Server) -> None:
    """Clear away what killed servers left of uploads, whichever server of the home it was."""
    while True:
        limit = server.settings.upload_seconds
        await asyncio.sleep(min(limit, _SWEEP_SECONDS))
        try:
            await to_thread.run_sync(sweep, server.archive.index, limit)
        except (CatalogError, OSError) as error:
            reason = error.code if isinstance(error, CatalogError) else error.strerror
            _log.warning("uploads that nobody finished stay for now (%s)", reason)


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application; nothing is opened before it starts."""
    chosen = settings or read_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with Archive.from_settings(chosen) as archive:
            archive.make()
            if chosen.bootstrap_key_file is not None:
                take_bootstrap_key(archive.index, chosen.bootstrap_key_file)
            sweep(archive.index, chosen.upload_seconds)
            archive.share()
            app.state.server = Server(chosen, archive)
            app.state.shown_studies = ShownStudies()
            app.state.pacs_turns = Turns()
            open_gate(app, archive.index.api_keys, chosen)
            open_oidc(app, archive, chosen)
            app.state.sessions = SessionGate(archive.index.sessions)
            operations.watch(app, archive)
            sweeping = asyncio.create_task(_sweep_regularly(app.state.server))
            try:
                with forwarding(archive.index, chosen.audit_syslog):
                    yield
            finally:
                sweeping.cancel()

    app = FastAPI(
        title="medsiglip",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(known_query)],
        generate_unique_id_function=lambda route: route.name,
    )
    problems.install(app)
    middleware.install(app, chosen)
    app.include_router(operations.router)
    app.include_router(docs.router)
    app.include_router(oidc_routes.router)
    app.include_router(signed_in.router)
    app.include_router(screen.router)
    app.include_router(ohif.router)
    for topic in (
        info,
        embeddings,
        questions,
        studies,
        images,
        ingest,
        labels,
        models,
        probe_registry,  # before `probes`: `/v1/probes/import` is no probe's name to OPTIONS
        probes,
        probe_cards,
        calibrations,
        evaluations,
        reports,
        routing_rules,
        spaces,
        why,
    ):
        app.include_router(topic.router, responses=PROBLEMS)
    for topic in (map_making, map_reading):
        app.include_router(topic.router, responses=PROBLEMS)
    for topic in (browsed_cases, collections, reading):
        app.include_router(topic.router, responses=PROBLEMS)
    for topic in (pacs_connections, bringing_in, deliveries, pacs_files):
        app.include_router(topic.router, responses=PROBLEMS)
    for topic in (storing, searching, headers, drawings, pixels):
        app.include_router(topic.router, responses=PROBLEMS)
    for topic in (jobs, audit, audit_pages, folders, health, keys, sessions, views):
        app.include_router(topic.router, responses=PROBLEMS)
    return app
