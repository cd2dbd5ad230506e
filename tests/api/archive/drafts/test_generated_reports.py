"""A report job with a generator that is configured: pictures go out, words come back, both are on record."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.drafts.image_source import StoredPictures
from medsiglip.api.jobs.worker import Worker
from medsiglip.medgemma.prompting.pictures import square
from tests.api.conftest import Home
from tests.medgemma.seeing import seen


class Scripted(ThreadingHTTPServer):
    """Chat completions as a stream of events; tells what the retrieved reports tell, if there are any."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.tried: list[dict[str, Any]] = []
        self.status = 200


class _Handler(BaseHTTPRequestHandler):
    server: Scripted

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        described = seen(asked)
        (self.server.asked if described is None else self.server.tried).append(asked)
        retrieved = "Similar case" in json.dumps(asked)
        self.send_response(self.server.status)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        text = described or ("There is a nodule." if retrieved else "There is no nodule.")
        for delta, reason in (({"role": "assistant", "content": text}, None), ({}, "stop")):
            event = {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "model": "scripted"}
            self.wfile.write(f"data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(b"data: [DONE]\n\n")

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def archive(own_home: Home, server: Scripted) -> Iterator[Archive]:
    url = f"http://127.0.0.1:{server.server_port}/v1"
    (own_home.path / "generators.toml").write_text(f'[near]\nurl = "{url}"\nmodel = "scripted"\n')
    with Archive(own_home.path) as opened:
        yield opened


def drafted(archive: Archive) -> tuple[Any, str]:
    """The job of a route's one study, and the study."""
    archive.put_route(
        "near", {"studies": "all", "modality": ["CR", "DX"], "total": 1, "generator": "near", "max_images": 1}
    )
    [sent] = [one for one in archive.run_routes()["decisions"] if one["outcome"] == "sent"]
    Worker(archive).run(once=True)
    return archive.index.jobs.get(sent["job_id"]), sent["study_instance_uid"]


def test_a_routed_study_is_drafted_twice_and_the_turn_of_the_words_is_flagged(
    archive: Archive, server: Scripted
) -> None:
    radiographs = archive.studies(["modality=CR|DX"])["studies"]
    texts = {one["study_instance_uid"]: "Lung nodule on the left." for one in radiographs}
    archive.index.report_texts.put(texts, "import")
    job, study = drafted(archive)
    assert job.status == "done", job.error
    draft = archive.report(job.id)
    assert (draft["route"], draft["generator"], draft["study_instance_uid"]) == ("near", "near", study)
    assert (draft["text"], draft["text_without_context"]) == ("There is a nodule.", "There is no nodule.")
    assert draft["flips"] == ["nodule"]
    [nodule] = [one for one in draft["findings"] if one["label"] == "nodule"]
    expected = {True: "agree", False: "contradict", None: "not-checkable"}[nodule["present"]]
    assert [check["verdict"] for check in draft["checks"]] == [expected]

    assert len(server.asked) == 2
    [image_id] = draft["details"]["image_ids"]
    [shown] = StoredPictures(archive.index, archive.rendering_pool).pictures([image_id])
    for asked in server.asked:
        contents = [part for message in asked["messages"] for part in message["content"]]
        parts = [part for part in contents if isinstance(part, dict)]
        [uri] = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        sent = np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))))
        assert (sent == square(shown)).all()
    assert study not in json.dumps(server.asked)


def test_what_a_server_refuses_is_the_jobs_error_and_no_draft(archive: Archive, server: Scripted) -> None:
    server.status = 400
    job, _ = drafted(archive)
    assert (job.status, archive.reports()["reports"]) == ("failed", [])
    assert job.error is not None
    assert job.error["code"] != "unexpected", job.error


def test_a_server_is_tried_before_a_draft_and_once_for_several(archive: Archive, server: Scripted) -> None:
    study = archive.studies(["modality=CR|DX"])["studies"][0]["study_instance_uid"]
    for _ in range(2):
        archive.draft_report(study, generator="near", by="ann")
    assert len(server.tried) == 3, "two pictures, and the first again"
    assert len(server.asked) == 2
