"""Versions, files, stored predictions and suggestions of probes by the client and over HTTP."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from medsiglip.client.client import ApiError, Client
from tests.api.conftest import Phantoms
from tests.api.live_service import LiveService


def test_probes_go_through_the_service(service: LiveService, phantoms: Phantoms, tmp_path: Path) -> None:
    with service.client() as client:
        client.import_labels(phantoms.labels)
        for _ in range(2):
            client.wait(client.train_probe("spots", labels=["melanoma"], level="study"))
        every = [(one.name, one.version) for one in client.probes(all_versions=True)]
        assert every == [("spots", 2), ("spots", 1)]
        assert [(one.name, one.version) for one in client.probes()] == [("spots", 2)]
        assert client.probe("spots@1").version == 1
        study = phantoms.with_label("melanoma")[0]
        first = client.predict("spots@1", study=study).probability
        assert first is not None
        assert client.classify(study=study, probe="spots@1").best.probability == first["melanoma"]

        _check_predictions(client)
        _check_suggestions(client)
        exported = client.export_probe("spots@1", tmp_path / "probe")
        assert (exported.name, exported.version, len(exported.files)) == ("spots", 1, 2)
        imported = client.import_probe(tmp_path / "probe", "from-a-folder")
        assert (imported.name, imported.version, imported.origin) == ("from-a-folder", 1, "imported")
        assert client.predict("from-a-folder", study=study).probability == first
        _check_http(service, client, tmp_path)
        client.delete_probe("spots@2")
        assert [one.version for one in client.probes(all_versions=True) if one.name == "spots"] == [1]
        for name in ("spots", "from-a-folder", "from-a-zip"):
            client.delete_probe(name)


def _check_predictions(client: Client) -> None:
    with pytest.raises(ApiError, match="no stored predictions") as refused:
        client.studies(["probe:spots>0.5"])
    assert refused.value.code == "bad-filter"
    stored = client.wait(client.store_predictions("spots", where=["modality=XC"])).result
    assert stored is not None
    assert stored["stored"] == stored["rows"] == len(client.studies(["modality=XC"]))
    assert len(client.studies(["probe:spots>=0"])) == stored["stored"]
    found = client.search(study=client.studies()[0].study_instance_uid, where=["probe:spots/melanoma>=0"])
    assert any("have no part in the stored predictions" in one for one in found.warnings)
    whole = client.wait(client.store_predictions("spots@1")).result
    assert whole is not None
    assert whole["stored"] == len(client.studies(["probe:spots@1>=0"])) == len(client.studies())
    with pytest.raises(ApiError) as unknown:
        client.store_predictions("spots@7")
    assert unknown.value.code == "unknown-probe"


def _check_suggestions(client: Client) -> None:
    found = client.suggest("spots", 3)
    assert [one.reason for one in found.suggestions] == ["uncertain", "uncertain", "diverse"]
    assert found.labels_needed[0].more_patients == 3 * found.labels_needed[0].patients
    some = client.suggest("spots", where=["modality=CT"])
    theirs = {one.study_instance_uid for one in client.studies(["modality=CT"])}
    assert {one.study_instance_uid for one in some.suggestions} <= theirs


def _check_http(service: LiveService, client: Client, tmp_path: Path) -> None:
    with service.http() as http:
        for n in (0, 1001, "x"):
            assert http.get("/v1/probes/spots/suggestions", params={"n": n}).status_code == 422
        given = http.get("/v1/probes/spots/export")
        assert given.headers["content-type"] == "application/zip"
        assert "spots-2.zip" in given.headers["content-disposition"]
        (tmp_path / "spots.zip").write_bytes(given.content)
        assert client.import_probe(tmp_path / "spots.zip", name="from-a-zip").name == "from-a-zip"
        assert http.get("/v1/probes/none/export").json()["code"] == "unknown-probe"
        assert http.get("/v1/probes/spots@0/export").status_code == 422
        wrong = {"file": ("x.txt", b"hello")}
        for files, data, code in (
            (wrong, {}, "probe-file-foreign"),
            ({"file": ("spots.zip", given.content)}, {"name": "a/b"}, "bad-request"),
            ({"file": ("spots.zip", _changed(given.content))}, {}, "probe-file-changed"),
        ):
            refused = http.post("/v1/probes/import", files=files, data=data)
            assert (refused.status_code in (400, 422), refused.json()["code"]) == (True, code)
        assert http.post("/v1/probes/import", json={"name": "x"}).json()["code"] == "no-files"
        refused = http.post("/v1/probes/spots/predictions", json={"where": ["color=red"]})
        assert refused.json()["code"] == "bad-filter"


def _changed(content: bytes) -> bytes:
    """The zip with an edited description."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    files["probe.json"] = files["probe.json"].replace(b'"study"', b'"image"')
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return changed.getvalue()
