"""Peers of DIMSE on this machine: what they are asked, what they answer, right or wrong."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.dimse_primitives import C_STORE

from medsiglip.ingest.pacs.connection import Connection, checked
from medsiglip.ingest.pacs.dimse.contexts import (
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    VERIFICATION,
)
from tests.api.archive.pacs.orthanc import free_ports
from tests.waiting import eventually

_SERVICES = (VERIFICATION, STUDY_ROOT_FIND, STUDY_ROOT_GET, STUDY_ROOT_MOVE)


def connection_to(port: int, **options: Any) -> Connection:
    """A connection to a peer on this machine that answers within seconds."""
    values = {"ae_title": "PEER", "host": "127.0.0.1", "port": port, "timeout_seconds": 5.0, **options}
    return checked(Connection("pacs", "dimse", **values))


ALL_STORED = {str(one.abstract_syntax): list(AllTransferSyntaxes) for one in AllStoragePresentationContexts}
# What the instances made for tests are; pynetdicom goes through all that a peer stores for each association.
PICTURES = {str(SecondaryCaptureImageStorage): [ExplicitVRLittleEndian, ImplicitVRLittleEndian]}


@contextmanager
def scp(
    handlers: list[Any],
    services: tuple[str, ...] = _SERVICES,
    port: int = 0,
    stored: Mapping[str, list[UID]] = PICTURES,
) -> Iterator[int]:
    """An SCP of pynetdicom with handlers, which takes `stored` classes in these syntaxes; its port."""
    entity = AE("PEER")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
    for service in services:
        entity.add_supported_context(service, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    for sop_class, syntaxes in stored.items():
        entity.add_supported_context(sop_class, [str(one) for one in syntaxes], scu_role=True, scp_role=True)
    server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    assert server is not None
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()


@contextmanager
def storing(folder: Path, statuses: Callable[[str], int] = lambda sop: 0, port: int = 0) -> Iterator[int]:
    """A receiver of pynetdicom that keeps what it accepts in `folder`; its port."""

    def store(event: evt.Event) -> int:
        sop = str(cast(C_STORE, event.request).AffectedSOPInstanceUID)
        status = statuses(sop)
        if status == 0:
            (folder / f"{sop}.dcm").write_bytes(event.encoded_dataset())
        return status

    folder.mkdir(parents=True, exist_ok=True)
    with scp([(evt.EVT_C_STORE, store)], port=port, stored=ALL_STORED) as bound:
        yield bound


DCMQRSCP = shutil.which("dcmqrscp")


@contextmanager
def dcmqrscp(folder: Path, destination: int) -> Iterator[int]:
    """dcmtk's archive with AE title PEER, which moves to MEDSIGLIP at the port `destination`; its port."""
    (port,) = free_ports(1)
    storage = folder / "PEER"
    storage.mkdir(parents=True)
    configuration = folder / "dcmqrscp.cfg"
    configuration.write_text(
        f"""NetworkTCPPort = {port}
MaxPDUSize = 16384
MaxAssociations = 16
HostTable BEGIN
medsiglip = (MEDSIGLIP, localhost, {destination})
HostTable END
VendorTable BEGIN
VendorTable END
AETable BEGIN
PEER {storage} RW (200, 1024mb) medsiglip
AETable END
"""
    )
    with (folder / "log").open("wb") as log:
        command = [str(DCMQRSCP), "-c", str(configuration), str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        eventually(lambda: _answers(port))
        yield port
    finally:
        process.kill()
        process.wait(30)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5):
        return True
    return False
