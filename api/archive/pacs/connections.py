"""Connections to PACS: added, listed with their state, tried and removed; and the one way to use them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.answers.answer import ErrorDetail, RemovedName
from medsiglip.answers.pacs import (
    DeliveryCounts,
    LedgerCounts,
    PacsConnection,
    PacsEcho,
    PacsList,
)
from medsiglip.api.archive.files import require_paths
from medsiglip.api.errors import ServiceError
from medsiglip.names import why_not

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.pacs.connections import PacsRecord
    from medsiglip.ingest.pacs.client import PacsClient, Spend
    from medsiglip.ingest.pacs.connection import Connection, Kind

# Of the hours of a connection and of another sync: they say nothing of the PACS.
_OF_THIS_SIDE = frozenset({"outside-hours", "pacs-busy"})
# Of one study at a PACS that answers.
_OF_A_STUDY = frozenset({"pacs-not-filed", "pacs-other-patient", "pacs-unknown-study"})
Counts = Mapping[tuple[str, str], int]


def connection_of(archive: OpenedArchive, name: str) -> Connection:
    """How a PACS is reached. Raises CatalogError `unknown-pacs`; PacsError `bad-connection`."""
    from medsiglip.ingest.pacs.connection import Connection

    return Connection.from_json(name, archive.index.pacs_connections.get(name).options)


@contextmanager
def open_pacs(archive: OpenedArchive, name: str, spend: Spend | None = None) -> Iterator[PacsClient]:
    """The client of a connection, closed at the end. What became of its use is kept with the connection: that
    the PACS was seen, or why it failed.

    Raises what `connection_of` does, and PacsError as the client does.
    """
    from medsiglip.ingest.errors import PacsError
    from medsiglip.ingest.pacs import opening
    from medsiglip.ingest.pacs.client import no_limit

    connections = archive.index.pacs_connections
    chosen = connection_of(archive, name)
    try:
        with opening.open_client(chosen, spend or no_limit) as client:
            yield client
    except PacsError as error:
        if error.code in _OF_A_STUDY:
            connections.note_seen(name)
        elif error.code not in _OF_THIS_SIDE:
            connections.note_failure(name, error.code, str(error))
        raise
    connections.note_seen(name)


def list_pacs(archive: OpenedArchive, *, with_options: bool = True) -> PacsList:
    """The connections by name with their state; how they are reached only `with_options`. The receiver, a
    program of its own, is left to the caller.
    """
    store = archive.index.pacs_connections
    syncing, studies, deliveries = store.working(), store.study_counts(), store.delivery_counts()
    found = []
    for one in store.listed():
        shown = _shown(one, studies, deliveries)
        options = dict(one.options) if with_options else None
        found.append(shown.model_copy(update={"syncing": one.name in syncing, "options": options}))
    return PacsList(connections=tuple(found), receiver=None)


def show_pacs(archive: OpenedArchive, name: str) -> PacsConnection:
    """One connection with its state and options. Raises CatalogError `unknown-pacs`."""
    archive.index.pacs_connections.get(name)
    return next(one for one in list_pacs(archive).connections if one.name == name)


def add_pacs(archive: OpenedArchive, name: str, *, remote: bool = False, **options: Any) -> PacsConnection:
    """Add a PACS, or change how the one of this name is reached; `options` are the fields of
    `medsiglip.ingest.pacs.connection.Connection`. Nothing is sent to it.

    Files and commands of this machine are named at its command line alone: a `remote` caller may not, nor may
    it lead a connection that names them elsewhere. Raises ServiceError `bad-pacs-name`, `no-such-path`,
    `pacs-secrets`; PacsError `bad-connection`; CatalogError `too-many-pacs`.
    """
    from medsiglip.ingest.pacs.connection import checked

    problem = why_not("name", name)
    if problem is not None:
        raise ServiceError("bad-pacs-name", f"This is no name of a PACS: {problem}.")
    chosen = checked(_connection(name, options))
    if not remote:
        files = (getattr(chosen, one) for one in ("ca_file", "certificate_file", "key_file", "token_file"))
        require_paths([one for one in (*files, chosen.password_file) if one is not None])
    archive.make()
    if remote:
        _require_no_secrets(archive, chosen)
    archive.index.pacs_connections.put(name, chosen.to_json())
    return show_pacs(archive, name)


def remove_pacs(archive: OpenedArchive, name: str) -> RemovedName:
    """Forget how a PACS is reached. The cases that came from it stay, and so does where they came from.
    Raises CatalogError `unknown-pacs`.
    """
    archive.index.pacs_connections.remove(name)
    return RemovedName(name=name, removed=True)


def pacs_echo(archive: OpenedArchive, name: str) -> PacsEcho:
    """Ask a PACS for a sign of life. Raises CatalogError `unknown-pacs`; PacsError."""
    with open_pacs(archive, name) as client:
        return PacsEcho.model_validate(client.echo())


def _connection(name: str, options: Mapping[str, Any]) -> Connection:
    from medsiglip.ingest.errors import PacsError
    from medsiglip.ingest.pacs.connection import Connection

    unknown = sorted(set(options) - {one.name for one in fields(Connection)})
    if unknown:
        raise PacsError("bad-connection", f"A connection has no option {unknown[0][:64]!r}.")
    given = {key: value for key, value in options.items() if value is not None}
    if isinstance(given.get("send_accepted"), Sequence):
        given["send_accepted"] = tuple(given["send_accepted"])
    kind: Kind = "dicomweb" if "url" in given else "dimse"
    if given.pop("kind", kind) != kind:
        raise PacsError("bad-connection", "A connection with a url is of the kind dicomweb, else dimse.")
    for key, value in given.items():
        if isinstance(value, Path):
            given[key] = value.expanduser().absolute()
    return Connection(name=name, kind=kind, **given)


def _require_no_secrets(archive: OpenedArchive, chosen: Connection) -> None:
    """Refuse what would let a caller elsewhere read files of this machine, run its commands, or have what
    they hold sent to an address of its choice.
    """
    from medsiglip.index.errors import CatalogError

    try:
        names = connection_of(archive, chosen.name).names_secrets
    except CatalogError:
        names = False
    if names or chosen.names_secrets:
        raise ServiceError(
            "pacs-secrets",
            f"The connection {chosen.name} names files or a command of the server: add or change it with "
            "`medsiglip pacs add` on that machine.",
        )


def _shown(one: PacsRecord, studies: Counts, deliveries: Counts) -> PacsConnection:
    state = "never" if one.last_seen_at is None else "ok"
    return PacsConnection(
        name=one.name,
        kind=one.options["kind"],
        state="failing" if one.failure is not None else state,
        last_seen_at=one.last_seen_at,
        failed_at=one.failed_at,
        failure=None if one.failure is None else ErrorDetail.model_validate(one.failure),
        studies=LedgerCounts.model_validate(_of(one.name, studies, LedgerCounts)),
        deliveries=DeliveryCounts.model_validate(_of(one.name, deliveries, DeliveryCounts)),
        syncing=False,
    )


def _of(name: str, counts: Counts, kind: type[LedgerCounts] | type[DeliveryCounts]) -> dict[str, int]:
    return {status: counts.get((name, status), 0) for status in kind.model_fields}
