"""Orthanc, a real PACS, on loopback: DICOMweb, DIMSE and its own REST API."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import pytest

from tests.api.archive.pacs.certificates import Pair
from tests.api.archive.pacs.tls_front import TlsFront
from tests.waiting import eventually

PROGRAM = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
needs_orthanc = pytest.mark.skipif(
    PROGRAM is None or not PLUGIN.exists(), reason="Orthanc with DICOMweb is not installed"
)


@dataclass(frozen=True)
class Setup:
    """How an Orthanc is set up.

    `modalities` are the ports on this machine of the AE titles that may ask, store and be sent to; None for
    one that only calls. `users` are names with passwords. With `server`, HTTP and DIMSE speak TLS;
    `client_ca` then asks clients for a certificate. `options` are more of Orthanc's own.

    Debian's Orthanc 1.10 ends at the first HTTPS request, so that a proxy speaks TLS for it.
    """

    modalities: Mapping[str, int | None] = field(default_factory=lambda: {"MEDSIGLIP": None})
    users: Mapping[str, str] = field(default_factory=dict)
    server: Pair | None = None
    client_ca: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


class Orthanc:
    """An Orthanc with AE title ORTHANC, whose ports and stored instances stay when it is started again.

    `url` is the root of its REST API, `dicomweb_url` that of DICOMweb, `http` a client of the former, which
    has the rights that are needed.
    """

    ae_title = "ORTHANC"

    def __init__(self, folder: Path, setup: Setup | None = None) -> None:
        self.setup = setup or Setup()
        self.folder = folder
        self.http_port, self.dicom_port, self._plain_port = free_ports(3)
        if self.setup.server is None:
            self._plain_port = self.http_port
        scheme = "http" if self.setup.server is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.http_port}"
        self.dicomweb_url = f"{self.url}/dicom-web"
        self._process: subprocess.Popen[bytes] | None = None
        self._front: TlsFront | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / "orthanc.log"
        self._file = folder / "orthanc.json"
        self._file.write_text(json.dumps(self._configuration()))
        users = list(self.setup.users.items())
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{self._plain_port}",
            auth=httpx.BasicAuth(*users[0]) if users else None,
            timeout=60,
            trust_env=False,
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        if self.setup.server is not None and self._front is None:
            self._front = TlsFront(self.http_port, self._plain_port, self.setup.server, self.setup.client_ca)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen([str(PROGRAM), str(self._file)], stdout=log, stderr=log)
        eventually(self._answers)

    def stop(self) -> None:
        """End it as an administrator would, or harshly where it does not end."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """End it with SIGKILL, at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def restart(self) -> None:
        """Start it again with the same ports and storage, after `stop` or `kill` where that came first."""
        self.stop()
        self.start()

    def upload(self, paths: Iterable[Path]) -> list[Path]:
        """Store files by its REST API; the files that it took. It refuses what lacks a UID or cannot be read,
        and keeps the first of two with one SOP Instance UID.
        """
        return [path for path in paths if self._takes(path.read_bytes())]

    def _takes(self, content: bytes) -> bool:
        answer = self.http.post("/instances", content=content)
        assert answer.is_success or answer.status_code in (400, 404), answer.text
        return answer.is_success

    def sops(self) -> list[str]:
        """The SOP Instance UIDs of what it holds, sorted."""
        held = self.http.get("/instances", params={"expand": ""}).raise_for_status().json()
        return sorted(one["MainDicomTags"]["SOPInstanceUID"] for one in held)

    def stored(self) -> dict[str, bytes]:
        """The files that it holds, as they are stored, by SOP Instance UID."""
        held = self.http.get("/instances", params={"expand": ""}).raise_for_status().json()
        return {
            one["MainDicomTags"]["SOPInstanceUID"]: self.http.get(f"/instances/{one['ID']}/file").content
            for one in held
        }

    def clear(self) -> None:
        """Delete all that it holds."""
        for study in self.http.get("/studies").raise_for_status().json():
            self.http.delete(f"/studies/{study}").raise_for_status()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        self.stop()
        if self._front is not None:
            self._front.close()

    def _answers(self) -> bool:
        assert self._process is None or self._process.poll() is None, self.log.read_text()[-2000:]
        try:
            return self.http.get("/system").is_success
        except httpx.TransportError:
            return False

    def _configuration(self) -> dict[str, Any]:
        storage = str(self.folder / "storage")
        return {
            "Name": "orthanc",
            "HttpPort": self._plain_port,
            "DicomPort": self.dicom_port,
            "DicomAet": self.ae_title,
            # Whoever is not of this machine is refused by HTTP, and by DICOM who is not listed.
            "RemoteAccessAllowed": False,
            "DicomCheckCalledAet": True,
            "DicomCheckModalityHost": True,
            "DicomAlwaysAllowEcho": False,
            "DicomAlwaysAllowStore": False,
            "DicomModalities": {
                title: {"AET": title, "Host": "127.0.0.1", "Port": port or 1, "AllowStorageCommitment": True}
                for title, port in self.setup.modalities.items()
            },
            "AuthenticationEnabled": bool(self.setup.users),
            "RegisteredUsers": dict(self.setup.users),
            "StorageDirectory": storage,
            "IndexDirectory": storage,
            "SynchronousCMove": True,
            "UnknownSopClassAccepted": True,
            "Plugins": [str(PLUGIN)],
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            **self._tls(),
            **self.setup.options,
        }

    def _tls(self) -> dict[str, Any]:
        server, trusted = self.setup.server, self.setup.client_ca
        if server is None:
            return {}
        authority = str(trusted or server.certificate)
        return {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(server.certificate),
            "DicomTlsPrivateKey": str(server.key),
            "DicomTlsTrustedCertificates": authority,
            "DicomTlsRemoteCertificateRequired": trusted is not None,
        }


def free_ports(number: int) -> list[int]:
    """Ports of this machine that nothing listens on."""
    probes = [socket.socket() for _ in range(number)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
