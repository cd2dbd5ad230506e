"""A real PACS by DICOMweb over TLS: whose certificates are trusted, and which one is shown."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.connection import Connection, checked
from medsiglip.ingest.pacs.dicomweb import DicomwebClient
from medsiglip.ingest.pacs.records import PacsQuery
from tests.api.archive.pacs.certificates import Authority
from tests.api.archive.pacs.orthanc import Orthanc, Setup, needs_orthanc
from tests.ingest.pacs.instances import instance
from tests.ingest.pacs.scripted_service import Request, connection, service

pytestmark = needs_orthanc


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def orthanc(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    folder = tmp_path_factory.mktemp("orthanc")
    with Orthanc(folder, Setup(server=authority.sign("server"), client_ca=authority.ca_file)) as started:
        (folder / "one.dcm").write_bytes(instance("1.2.3", 1))
        started.upload([folder / "one.dcm"])
        yield started


def client(orthanc: Orthanc, **options: Any) -> DicomwebClient:
    return DicomwebClient(checked(Connection("orthanc", "dicomweb", url=orthanc.dicomweb_url, **options)))


def test_both_show_certificates(orthanc: Orthanc, authority: Authority, tmp_path: Path) -> None:
    own = authority.sign("client")
    options = {"ca_file": authority.ca_file, "certificate_file": own.certificate, "key_file": own.key}
    with client(orthanc, **options) as opened:
        opened.echo()
        assert len(list(opened.studies(PacsQuery()))) == 1
        (file,) = opened.retrieve("1.2.3", tmp_path)
        assert file.read_bytes() == instance("1.2.3", 1)
        assert [one.is_stored for one in opened.store([file])] == [True]


def test_certificates_that_do_not_go(orthanc: Orthanc, authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other", "other")
    own, foreign = authority.sign("client"), other.sign("client")
    shown = {"certificate_file": own.certificate, "key_file": own.key}
    wrong: list[dict[str, Any]] = [
        {},  # the system's authorities do not know it
        {"ca_file": other.ca_file, **shown},
        {"ca_file": authority.ca_file},  # it asks for ours
        {"ca_file": authority.ca_file, "certificate_file": foreign.certificate, "key_file": foreign.key},
        {"ca_file": authority.ca_file, "certificate_file": own.certificate, "key_file": foreign.key},
        {"ca_file": own.key, **shown},
        {"ca_file": tmp_path / "nothing"},
        {"ca_file": authority.ca_file, "certificate_file": tmp_path / "nothing", "key_file": own.key},
    ]
    for options in wrong:
        with client(orthanc, **options) as opened, pytest.raises(PacsError) as refused:
            opened.echo()
        assert (refused.value.code, refused.value.may_pass) == ("pacs-certificate", False), options


def test_servers_with_certificates_of_others(authority: Authority) -> None:
    for pair in (authority.sign("elsewhere", "pacs.example"), authority.sign("expired", days=0)):
        context = server_context(pair.certificate, pair.key)
        with (
            service(lambda request: request.give_json([]), context) as url,
            DicomwebClient(connection(url, ca_file=authority.ca_file)) as opened,
            pytest.raises(PacsError) as refused,
        ):
            opened.echo()
        assert refused.value.code == "pacs-certificate"


def test_tls_is_not_left_for_a_redirect(authority: Authority) -> None:
    pair = authority.sign("server2")
    asked: list[str] = []
    with service(lambda request: asked.append(request.path)) as plain:

        def lead_out(request: Request) -> None:
            request.give(302, Location=f"{plain}/studies")

        with (
            service(lead_out, server_context(pair.certificate, pair.key)) as url,
            DicomwebClient(connection(url, ca_file=authority.ca_file)) as opened,
            pytest.raises(PacsError, match="another server"),
        ):
            opened.echo()
    assert asked == []


def test_a_server_that_speaks_no_tls() -> None:
    with (
        service(lambda request: request.give_json([])) as url,
        DicomwebClient(connection(url.replace("http:", "https:"))) as opened,
        pytest.raises(PacsError) as refused,
    ):
        opened.echo()
    assert refused.value.code == "pacs-certificate"


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context
