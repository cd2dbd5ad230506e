"""A client that a generator makes of the OpenAPI description works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.api.conftest import Phantoms
from tests.api.live_service import LiveService

USE = """
import json, os, sys
from pathlib import Path

from generated.api.cases import get_study, ingest, list_studies
from generated.api.jobs import get_job, list_jobs
from generated.api.questions import classify, embed, search
from generated.api.service import info
from generated.client import AuthenticatedClient
from generated.models import (
    ClassifyFilesBody, EmbeddingsQuestion, IngestJsonIngestQuestion, Problem, SearchFilesBody,
    SearchJsonSearchQuestion,
)
from generated.types import File

client = AuthenticatedClient(os.environ["URL"], token=os.environ["KEY"])
path = Path(os.environ["FILE"])
with client as client, path.open("rb") as first, path.open("rb") as second:
    studies = list_studies.sync(client=client).studies
    study = get_study.sync(studies[0].study_instance_uid, client=client)
    scored = classify.sync(
        client=client,
        body=ClassifyFilesBody(labels="mole,chest", file=[File(payload=first, file_name="case.dcm")]),
    )
    found = search.sync(
        client=client, body=SearchFilesBody(file=[File(payload=second, file_name="case.dcm")], k=3)
    )
    by_text = search.sync(client=client, body=SearchJsonSearchQuestion(text="effusion", k=2))
    vectors = embed.sync(client=client, body=EmbeddingsQuestion(model="", input_=["a", "b"]))
    job = ingest.sync(client=client, body=IngestJsonIngestQuestion(path=os.environ["FOLDER"]))
    unknown = get_job.sync("0" * 32, client=client)
    print(json.dumps({
        "model": info.sync(client=client).model,
        "studies": [one.study_instance_uid for one in studies],
        "images": len(study.images),
        "labels": [one.label for one in scored.scores],
        "hits": [len(found.hits), len(by_text.hits)],
        "score": found.hits[0].score,
        "dimension": [len(one.embedding) for one in vectors.data],
        "job": get_job.sync(job.id, client=client).kind,
        "listed": job.id in [one.id for one in list_jobs.sync(client=client).jobs],
        "problem": isinstance(unknown, Problem) and unknown.code,
    }))
"""


@pytest.fixture(scope="module")
def generated(service: LiveService, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("client")
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none"]
    generator = subprocess.run(
        [*command, "--url", f"{service.url}/openapi.json", "--output-path", folder / "generated"],
        capture_output=True,
        text=True,
        check=True,
    )
    # The generator supports neither multipart/related nor answers that are pictures, archives or JSON lines.
    lines = (generator.stdout + generator.stderr).splitlines()
    left_out = [line for line in lines if line.startswith("WARNING")]
    instance = "/dicom-web/studies/{study}/series/{series}/instances/{instance}"
    assert sorted(line.split()[3] for line in left_out) == [
        "/dicom-web/studies",
        "/dicom-web/studies/{study}",
        "/dicom-web/studies/{study}",
        "/dicom-web/studies/{study}/series/{series}",
        instance,
        f"{instance}/frames/{{frame}}/rendered",
        f"{instance}/rendered",
        f"{instance}/thumbnail",
        "/dicom-web/studies/{study}/series/{series}/thumbnail",
        "/dicom-web/studies/{study}/thumbnail",
        "/v1/audit",
        "/v1/images/{image_id}/preview",
        "/v1/images/{image_id}/thumbnail",
        "/v1/probes/{name}/export",
    ]
    return folder


def test_a_generated_client_works(service: LiveService, generated: Path, phantoms: Phantoms) -> None:
    file = next(iter(sorted(phantoms.dicom.rglob("*.dcm"))))
    environment = {
        **os.environ,
        "PYTHONPATH": str(generated),
        "URL": service.url,
        "KEY": service.keys["admin"],
        "FILE": str(file),
        "FOLDER": str(file.parent),
    }
    ran = subprocess.run([sys.executable, "-c", USE], env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    with service.client() as client:
        assert answer["model"] == client.info()["model"]
        assert sorted(answer["studies"]) == sorted(one.study_instance_uid for one in client.studies())
    assert answer["images"] >= 1
    assert sorted(answer["labels"]) == ["chest", "mole"]
    assert answer["hits"] == [3, 2]
    assert answer["score"] <= 1
    assert len(set(answer["dimension"])) == 1
    assert answer["job"] == "ingest"
    assert answer["listed"]
    assert answer["problem"] == "unknown-job"
