"""The service follows its OpenAPI description, as tested by schemathesis."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.api.conftest import Home, Phantoms, run
from tests.api.live_service import LiveService, live_service
from tests.repository import ROOT

# Checks that do not apply: a request that is valid by the schema may still be refused, such as one for a
# missing study; a draft exists when its job is done, not when it was requested; a job that DELETE cancelled
# still exists; and so many wrong keys from one address are refused with 429 (test_authorization tries every
# route without a key and with a wrong one).
LEFT_OUT = "positive_data_acceptance,ensure_resource_availability,use_after_free,ignored_auth"


def known(tried: LiveService, phantoms: Phantoms) -> dict[str, list[Any]]:
    """Known values: studies, images, a probe, drafts, a routing rule, a PACS, and the job that made each."""
    with tried.client() as client:
        studies = client.studies()
        jobs = [client.draft(one.study_instance_uid) for one in studies[:2]]
        jobs.append(client.train_probe("known", labels_csv=phantoms.labels))
        ended = [client.wait(job) for job in jobs]
    with tried.http() as http:
        # It is made when it is first asked for, which takes long on a busy machine.
        http.get("/openapi.json").raise_for_status()
        rule = {"generator": "evidence-only", "where": ["modality=CT"]}
        http.put("/v1/routes/known", json=rule).raise_for_status()
        # Nothing listens there.
        http.put("/v1/pacs/known", json={"url": "http://127.0.0.1:9/dicom-web"}).raise_for_status()
        shown = [http.get(f"/v1/studies/{one.study_instance_uid}").json() for one in studies]
    uids = [one.study_instance_uid for one in studies]
    return {
        "uid": uids,
        "study": uids,
        "study_instance_uid": uids,
        "key": [one["patient_key"] for one in shown],
        "image_id": [image["image_id"] for one in shown for image in one["images"]],
        "name": ["known"],
        "probe": ["known"],
        "draft_id": [job.id for job in ended if job.kind == "report"],
        "job_id": [job.id for job in ended],
    }


@pytest.mark.parametrize(
    ("phases", "examples", "seed"),
    [
        ("examples,fuzzing", 1, 1),
        pytest.param("examples,fuzzing", 2, 1, marks=pytest.mark.long),
        pytest.param("examples,coverage,fuzzing,stateful", 100, 2, marks=pytest.mark.campaign),
    ],
)
def test_the_service_follows_its_openapi_description(
    home: Home, phantoms: Phantoms, tmp_path: Path, phases: str, examples: int, seed: int
) -> None:
    roots = {"MEDSIGLIP_INGEST_ROOTS": str(phantoms.dicom), "MEDSIGLIP_UPLOAD_PAUSE_SECONDS": "5"}
    with live_service(home.path, tmp_path, roots) as tried:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{tried.url}/openapi.json"),
            *("-H", f"Authorization: Bearer {tried.keys['admin']}"),
            *("--phases", phases, "--max-examples", str(examples), "--seed", str(seed)),
            *("--checks", "all", "--exclude-checks", LEFT_OUT),
            # No time is held to: the first embedding waits for the model. A minute is a hang.
            *("--request-timeout", "60", "--max-response-time", "60"),
            *("--no-color", "--continue-on-failure"),
        ]
        environment = {
            **os.environ,
            "CONTRACT_KNOWN": json.dumps(known(tried, phantoms)),
            "SCHEMATHESIS_HOOKS": "tests.api.http.contract_hooks",
            "PYTHONPATH": str(ROOT),
        }
        ran = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900
        )
        found = ran.stdout[ran.stdout.find("= FAILURES =") :][:5000]
        assert ran.returncode == 0, found + ran.stdout[-3000:] + ran.stderr[-2000:]
        assert "Tested: 130" in ran.stdout
        print(ran.stdout[-400:])
        verified = run("--home", tried.home, "--json", "index", "verify")
        assert '"ok": true' in verified.out, verified.out
