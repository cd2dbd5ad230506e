"""A Milvus server that asks for a password, answers by TLS alone, and has several databases."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsiglip.index.engines.engine import Collection, VectorRows
from medsiglip.index.engines.milvus import milvus_engine
from medsiglip.index.engines.milvus.milvus_engine import MilvusEngine
from medsiglip.index.errors import CatalogError
from tests.index.engines.milvus_server import BUILT_BY, MilvusServer, find_server

pytestmark = pytest.mark.long

FIRST_PASSWORD = "Milvus"  # of every new server's user root (milvus.io/docs/authenticate.md)
PASSWORD = "a:secret/of@ours"
STUDIES = Collection(1, "study", 4)


class SecuredServer:
    """A server, the certificate that signs its own, and the file of a password."""

    def __init__(self, server: MilvusServer, certificate: Path, password: Path) -> None:
        self.port = server.port
        self.certificate = certificate
        self.password = password

    def url(self, database: str = "", scheme: str = "milvuss", user: str = "root@", more: str = "") -> str:
        host = f"{scheme}://{user}localhost:{self.port}/{database}"
        return f"{host}?ca={self.certificate}{more}" if scheme == "milvuss" else host


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredServer]:
    programs, openssl = find_server(), shutil.which("openssl")
    if programs is None or openssl is None:
        pytest.skip(f"no openssl, or no Milvus server was built: {BUILT_BY}")
    folder = tmp_path_factory.mktemp("secured")
    certificate, key, password = folder / "cert.pem", folder / "key.pem", folder / "password"
    kind = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=milvus.example"]
    names = ["-addext", "subjectAltName=DNS:localhost,DNS:milvus.example"]
    command = [openssl, "req", *kind, *names, "-out", str(certificate), "-keyout", str(key)]
    subprocess.run(command, check=True, capture_output=True)
    settings = {
        "authorization_enabled": "true",
        "tls_mode": "1",
        "server_pem_path": str(certificate),
        "server_key_path": str(key),
        "ca_pem_path": str(certificate),
    }
    server = MilvusServer(programs, folder, settings)
    try:
        server.start()
        from pymilvus import MilvusClient

        uri = f"https://localhost:{server.port}"
        secure = {"secure": True, "server_pem_path": str(certificate), "dedicated": True}
        admin = MilvusClient(uri, user="root", password=FIRST_PASSWORD, timeout=30, **secure)
        admin.create_database("scans")
        admin.update_password("root", FIRST_PASSWORD, PASSWORD)
        admin.close()
        password.write_text(PASSWORD)
        yield SecuredServer(server, certificate, password)
    finally:
        server.kill()


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(milvus_engine, "_PATIENCE_S", 3.0)


def test_a_user_with_a_password_is_let_into_a_database(secured: SecuredServer) -> None:
    in_scans, in_default = (
        MilvusEngine(secured.url(database), "home", secured.password) for database in ("scans", "")
    )
    fields: dict[str, list[Any]] = {
        "patient": [1],
        "patient_sex": ["F"],
        "patient_age": [5.0],
        "study_date": [None],
    }
    in_scans.put(STUDIES, VectorRows(np.array([4]), np.eye(1, 4, dtype=np.float32), fields))
    in_scans.flush()
    assert (in_scans.count(STUDIES), in_default.count(STUDIES)) == (1, 0)
    assert in_scans.name == f"milvuss://localhost:{secured.port}/scans"
    in_scans.close()
    in_default.close()


def test_a_certificate_may_have_another_name(secured: SecuredServer) -> None:
    engine = MilvusEngine(secured.url(more="&server_name=milvus.example"), "home", secured.password)
    assert engine.count(STUDIES) == 0
    engine.close()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"password": "wrong"}, "engine-refused"),
        ({"user": ""}, "engine-refused"),
        ({"database": "absent"}, "engine-refused"),
        ({"more": "&server_name=other.example"}, "engine-unreachable"),
        ({"scheme": "milvus"}, "engine-unreachable"),
    ],
)
def test_who_may_not_enter_is_told_why(
    secured: SecuredServer, change: dict[str, str], code: str, tmp_path: Path
) -> None:
    given = dict(change)
    wrong = tmp_path / "wrong"
    wrong.write_text(given.pop("password", PASSWORD))
    engine = MilvusEngine(secured.url(**given), "home", None if "user" in given else wrong)
    with pytest.raises(CatalogError) as refused:
        engine.count(STUDIES)
    assert refused.value.code == code
    assert wrong.read_text() not in str(refused.value)
    assert str(secured.port) in str(refused.value)
    engine.close()


def test_another_authority_is_not_trusted(secured: SecuredServer) -> None:
    url = secured.url().partition("?")[0]
    with pytest.raises(CatalogError) as refused:
        MilvusEngine(url, "home", secured.password).count(STUDIES)
    assert refused.value.code == "engine-unreachable"
