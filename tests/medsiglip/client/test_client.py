"""The Python client against a real server: every method, and what it raises."""

from __future__ import annotations

import csv
import io
import os
import zipfile
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from medsiglip.answers.jobs import Job
from medsiglip.api.archive.archive import Archive
from medsiglip.client.client import ApiError, Client, JobError
from tests.api.conftest import Home, Phantoms
from tests.api.live_service import LiveService
from tests.waiting import eventually


@pytest.fixture(scope="module")
def client(service: LiveService) -> Iterator[Client]:
    with service.client() as made:
        yield made


def picture_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.dcm"))


def test_info_and_readiness(client: Client, home: Home) -> None:
    info = client.info()
    assert info["space"] == home.report["space"]
    assert (info["model"], info["demonstration"], info["dimension"]) == ("tiny", True, 128)
    assert info["index"]["images"] >= home.report["images"]
    eventually(client.is_ready)  # the model is loaded at its first use


def test_the_three_questions_have_the_answers_of_the_archive(
    client: Client, home: Home, phantoms: Phantoms
) -> None:
    study = phantoms.with_label("pleural-effusion")[0]
    file = picture_files(phantoms.dicom)[0]
    with Archive(home.path) as archive:
        expected = archive.classify(study=study, prompts="phantoms")["scores"]
        found = client.classify(study=study, prompts="phantoms")
        assert [one.label for one in found.scores] == [one["label"] for one in expected]
        assert np.allclose(
            [one.probability for one in found.scores], [one["probability"] for one in expected], atol=1e-4
        )
        [hit, *_] = client.search(image=file, include_same_patient=True).hits
        [known, *_] = archive.search(image=file, include_same_patient=True)["hits"]
        assert (hit.sop_instance_uid, hit.image_id) == (known["sop_instance_uid"], known["image_id"])
        assert hit.score >= 0.999
        words = client.search(text="skin photograph", k=3, where=["modality=XC"])
        others = archive.search(text="skin photograph", k=3, where=["modality=XC"])["hits"]
        assert [one.image_id for one in words.hits] == [one["image_id"] for one in others]
    assert len(client.search(image_id=hit.image_id, k=2).hits) == 2
    assert client.search(study=study, k=1).hits[0].study_instance_uid != study


def test_of_several_files_one_that_is_no_picture_has_an_error(
    client: Client, phantoms: Phantoms, service: LiveService
) -> None:
    file = picture_files(phantoms.dicom)[0]
    good, bad = client.classify_files([file, phantoms.labels], labels=["skin", "chest"])
    assert good.best.label in ("skin", "chest")
    assert bad.error is not None
    assert bad.error["code"] == "not-an-image"
    assert bad.error["message"].startswith("labels.csv: ")
    assert str(service.home) not in bad.error["message"]


def test_embeddings_of_texts_and_pictures(client: Client, home: Home, tmp_path: Path) -> None:
    texts = ["pleural effusion", "skin"]
    png = tmp_path / "p.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 80), dtype=np.uint8)).save(png)
    with Archive(home.path) as archive:
        assert np.allclose(client.embed_texts(texts), archive.encoder.encode_texts(texts), atol=1e-5)
        archive.embed([png], tmp_path / "p.parquet")
    import pyarrow.parquet as pq

    stored = np.array(pq.read_table(tmp_path / "p.parquet")["embedding"].to_pylist(), np.float32)
    assert np.allclose(client.embed_images([png]), stored, atol=1e-5)


def test_a_folder_and_an_upload_become_cases(
    client: Client, service: LiveService, phantoms: Phantoms, tmp_path: Path
) -> None:
    done = client.wait(client.ingest(phantoms.dicom))
    assert (done.result["embedded"], done.result["quarantined"]) == (0, [])
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        for number in (1, 2):
            archive.write(tmp_path / f"{number}.png", f"{number}.png")
    with (tmp_path / "meta.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["path", "patient_id", "modality"], ["0.png", "p0", "OP"]])
    seen: list[Job] = []
    job = client.upload(tmp_path / "0.png", metadata=tmp_path / "meta.csv")
    done = client.wait(job, seen.append)
    assert (done.result["embedded"], done.result["skipped"]) == (1, [])
    assert seen[-1].status == "done"
    assert client.wait(client.upload(tmp_path / "two.zip")).result["embedded"] == 2
    [study] = client.studies(["modality=OP"])
    assert study.modalities == ("OP",)
    kept = service.left_over()
    assert client.forget_study(study.study_instance_uid)["files"] == 1
    assert len(service.left_over()) == len(kept) - 1, "the uploaded picture went with its study"


def test_a_job_that_cannot_be_done_raises(client: Client, phantoms: Phantoms) -> None:
    with pytest.raises(JobError) as raised:
        client.wait(client.train_probe("p", labels=["no-such-label"]))
    assert raised.value.job.status == "failed"
    with pytest.raises(ApiError) as refused:
        client.ingest("/etc")
    assert (refused.value.code, refused.value.status) == ("path-not-allowed", 403)


def test_labels_and_probes(client: Client, phantoms: Phantoms) -> None:
    assert client.import_labels(phantoms.labels)["unmatched"] == []
    labels = {one["label"]: one for one in client.labels()}
    assert labels["melanoma"]["positive"] == len(phantoms.with_label("melanoma"))
    client.wait(client.train_probe("moles", labels=["melanoma"], level="study"))
    assert client.probe("moles").labels[0].label == "melanoma"
    study = phantoms.with_label("melanoma")[0]
    probability = client.predict("moles", study=study)["probability"]["melanoma"]
    assert client.classify(study=study, probe="moles").best.probability == probability
    file = next(one for one in picture_files(phantoms.dicom))
    assert 0 <= client.predict("moles", file)["probability"]["melanoma"] <= 1
    client.wait(client.train_probe("by-csv", labels_csv=phantoms.labels, level="study"))
    assert [one["name"] for one in client.probes()] == ["by-csv", "moles"]
    for name in ("by-csv", "moles"):
        client.delete_probe(name)
    assert client.probes() == []
    with pytest.raises(ApiError, match="no probe"):
        client.probe("moles")


def test_previews_and_studies(client: Client, home: Home, phantoms: Phantoms, service: LiveService) -> None:
    study = phantoms.with_label("pleural-effusion")[0]
    [image] = client.study(study)["images"]
    for _ in range(2):  # drawn, then kept
        shown = Image.open(io.BytesIO(client.preview(image["image_id"])))
        assert (shown.format, max(shown.size)) == ("PNG", 256)
    with service.client("read") as reader:
        assert "path" in image
        assert "path" not in reader.study(study)["images"][0]


def test_reports(client: Client, phantoms: Phantoms) -> None:
    study = phantoms.with_label("pleural-effusion")[0]
    done = client.wait(client.draft(study))
    draft = client.report(done.result["id"])
    assert (draft["status"], draft["generator"]) == ("draft", "evidence-only")
    assert draft["id"] in [one["id"] for one in client.reports()]
    assert client.reject(draft["id"], "a test")["status"] == "rejected"
    again = client.wait(client.draft(study, indication="dyspnoea")).result["id"]
    edited = client.edit(again, "My own words.", revision=client.report(again)["revision"])
    with pytest.raises(ApiError, match="changed"):
        client.accept(again, revision=edited["revision"] - 1)
    concerns = [one["id"] for one in edited["concerns"]]
    assert "omitted:pleural-effusion" in concerns
    with pytest.raises(ApiError, match="omitted:pleural-effusion") as caught:
        client.accept(again, revision=edited["revision"])
    assert (caught.value.code, caught.value.status) == ("draft-concerns", 409)
    assert [one["id"] for one in caught.value.members["concerns"]] == concerns
    accepted = client.accept(again, revision=edited["revision"], acknowledge=concerns)
    assert accepted["status"] == "accepted"
    assert [one["id"] for one in accepted["history"][-1]["acknowledged"]] == concerns
    assert [one["id"] for one in client.reports(status="accepted", study=study)] == [again]
    assert client.export(again, "pdf").startswith(b"%PDF-")
    assert "My own words." in client.export(again).decode()


def test_routes(client: Client, phantoms: Phantoms) -> None:
    rule = {"modality": ["DX"], "studies": "all", "generator": "evidence-only"}
    assert client.put_route("chests", rule)["name"] == "chests"
    assert "chests" in [one["name"] for one in client.routes()]
    would = {one["study_instance_uid"] for one in client.test_route("chests")["would_send"]}
    chests = {uid for uid, labels in phantoms.by_study.items() if "pleural-effusion" in labels}
    assert would == {one.study_instance_uid for one in client.studies(["modality=DX"])} <= chests
    sent = {one["study_instance_uid"] for one in client.run_route("chests")["decisions"]}
    assert sent == would
    client.remove_route("chests")
    assert "chests" not in [one["name"] for one in client.routes()]


def test_a_study_and_a_patient_are_forgotten(client: Client, phantoms: Phantoms) -> None:
    first, second = phantoms.with_label("melanoma", 0)[:2]
    patient = client.study(second)["patient_key"]
    assert client.forget_study(first)["images"] == 1
    assert client.forget_patient(patient)["patient_key"] == patient
    for gone in (first, second):
        with pytest.raises(ApiError) as raised:
            client.study(gone)
        assert (raised.value.code, raised.value.status) == ("unknown-study", 404)


def test_a_wrong_key_is_told(service: LiveService) -> None:
    with Client(service.url, api_key="msk_nobody_0") as stranger, pytest.raises(ApiError) as raised:
        stranger.info()
    assert (raised.value.code, raised.value.status) == ("wrong-key", 401)
    assert raised.value.request_id


def test_a_job_is_started_once_for_one_idempotency_key(service: LiveService, phantoms: Phantoms) -> None:
    with service.http() as http:
        asked = {"json": {"path": str(phantoms.dicom)}, "headers": {"Idempotency-Key": "k-1"}}
        first, second = (http.post("/v1/ingest", **asked) for _ in range(2))  # type: ignore[arg-type]
        assert (first.status_code, first.json()["id"]) == (202, second.json()["id"])
        assert first.headers["location"] == f"/v1/jobs/{first.json()['id']}"
    with service.http("write") as http:  # another key's job is its own
        third = http.post("/v1/ingest", **asked)  # type: ignore[arg-type]
        assert third.json()["id"] != first.json()["id"]


def test_openai_s_own_client_gets_vectors(service: LiveService, client: Client) -> None:
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=f"{service.url}/v1", api_key=service.keys["read"]) as asking:
        for how in ("float", "base64"):
            answer = asking.embeddings.create(
                model="tiny", input=["pleural effusion", "skin"], encoding_format=how
            )
            vectors = [
                np.frombuffer(b64decode(one.embedding), "<f4")
                if isinstance(one.embedding, str)
                else one.embedding
                for one in answer.data
            ]
            assert np.allclose(vectors, client.embed_texts(["pleural effusion", "skin"]), atol=1e-6)
        with pytest.raises(openai.NotFoundError):
            asking.embeddings.create(model="text-embedding-3-small", input="skin")


@pytest.mark.parametrize("content", [{"id": "1"}, {"id": "1", "kind": "ingest", "status": "unheard-of"}])
def test_an_answer_of_another_form_is_an_error_of_the_client_s_own(content: dict[str, str]) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=content))
    with Client("http://service", transport=transport) as client, pytest.raises(ApiError) as raised:
        client.job("1")
    assert raised.value.code == "unexpected-answer"
    assert "update the client" in str(raised.value)


def test_a_file_whose_name_is_not_utf_8_is_sent(tmp_path: Path) -> None:
    picture = tmp_path / os.fsdecode(b"M\xfcller.png")
    Image.new("L", (4, 4)).save(picture)
    sent: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.read())
        return httpx.Response(200, json={"space": "s", "scores": []})

    with Client("http://service", transport=httpx.MockTransport(answer)) as client:
        client.classify(picture, labels=["a"])
    assert 'filename="M\ufffdller.png"'.encode() in sent[0]
    assert picture.read_bytes() in sent[0]
