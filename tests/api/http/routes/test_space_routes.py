"""Spaces over HTTP: a served archive is embedded anew by a job, and its answers follow."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.random_checkpoint import write_checkpoint
from medsiglip.client.client import ApiError, JobError
from tests.api.conftest import run
from tests.api.live_service import live_service


@pytest.mark.long
def test_a_served_archive_moves_to_another_model_while_it_is_asked(tmp_path: Path) -> None:
    from medsiglip.phantoms.catalogue import make_studies
    from medsiglip.phantoms.dicom import write_study

    for study in make_studies(3, 11, ["skin"]):
        write_study(study, tmp_path / "files")
    source, model = tmp_path / "source", tmp_path / "model"
    images = run("--home", source, "--json", "ingest", tmp_path / "files").json["images"]
    write_checkpoint(model, width=64, layers=1, image_size=64)
    with live_service(source, tmp_path / "service", {}) as service, service.client() as client:
        (before,) = client.spaces()
        assert (before.active, before.images, before.model) == (True, images, "tiny")
        assert client.search(text="a mole").space == before.name
        for scope in ("read", "write"):
            with service.client(scope) as other, pytest.raises(ApiError) as refused:
                other.reembed(str(model))
            assert refused.value.code == "missing-scope"
        with pytest.raises(JobError) as unknown:
            client.wait(client.reembed(str(tmp_path / "no-model")))
        assert "no-model" in str(unknown.value)
        gone = next((tmp_path / "files").rglob("*.dcm"))
        kept = gone.read_bytes()
        gone.unlink()
        told = client.wait(client.reembed(str(model))).result
        assert (told["switched"], told["missing"], told["embedded"]) == (False, 1, images - 1)
        assert [one["path"] for one in told["missing_files"]] == [str(gone)]
        assert client.search(text="a mole").space == before.name
        gone.write_bytes(kept)
        with service.http() as http:
            body, once = {"to": str(model)}, {"Idempotency-Key": "once"}
            started = [http.post("/v1/spaces", json=body, headers=once) for _ in range(2)]
        jobs = [one.raise_for_status().json() for one in started]
        assert jobs[0]["id"] == jobs[1]["id"]
        done = client.wait(client.job(jobs[0]["id"])).result
        assert (done["switched"], done["missing"], done["embedded"]) == (True, 0, 1)
        now, former = client.spaces()
        assert (now.name, now.active, former.name, former.images) == (
            done["space"],
            True,
            before.name,
            images,
        )
        answer = client.search(text="a mole")
        assert (answer.space, len(answer.hits)) == (now.name, min(images, 10))
        assert client.wait(client.reembed()).result["embedded"] == 0
        with pytest.raises(ApiError) as used:
            client.drop_space(now.name)
        assert used.value.code == "space-in-use"
        assert client.drop_space(former.name).images == images
        with pytest.raises(ApiError) as dropped:
            client.drop_space(former.name)
        assert dropped.value.code == "unknown-space"
        assert [one.name for one in client.spaces()] == [now.name]
        back = client.wait(client.reembed("tiny", allow_missing=True)).result
        assert (back["switched"], back["embedded"]) == (True, images)
