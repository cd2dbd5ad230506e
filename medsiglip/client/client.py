"""`Client`: the HTTP service from Python, with httpx alone and no torch.

    from medsiglip.client.client import Client

    with Client("http://127.0.0.1:8000", api_key="msk_...") as client:
        client.wait(client.ingest("/data/dicom"))
        print(client.classify("case.dcm", prompts="chest-xray").best)
        for hit in client.search(text="left pleural effusion", k=5).hits:
            print(hit.score, hit.study_instance_uid)

Requests are tried again when the service is busy, restarting or out of reach; starting a job carries an
idempotency key, so that a job which was started by a lost answer is not started twice.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import httpx

from medsiglip.client import results as results
from medsiglip.client.connection import AnyPath, Connection
from medsiglip.client.drafts import DraftCalls
from medsiglip.client.results import Classification, Job, Probe, SearchResult, Study
from medsiglip.client.retried_requests import ApiError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ApiError", "Client", "JobError"]

Where = Sequence[str]


class JobError(Exception):
    """A job that ended otherwise than done; `job` is its last state."""

    def __init__(self, job: Job) -> None:
        error = job.error or {}
        super().__init__(error.get("message") or f"The job {job.id} was {job.status}.")
        self.job = job
        self.code = str(error.get("code") or job.status)


class Client(DraftCalls):
    """A connection to one service. Every method may raise `ApiError`.

    `api_key` goes into each request; `timeout` is in seconds without any byte from the service, `retries` how
    often a request is tried again. `transport` replaces httpx's own.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: int = 5,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        http = httpx.Client(base_url=base_url, headers=headers, timeout=timeout, transport=transport)
        self._service = Connection(http, retries)

    def close(self) -> None:
        """Let go of the connections."""
        self._service.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # The service itself

    def info(self) -> dict[str, Any]:
        """The model, the space and the counts of the archive."""
        return self._service.get("/v1/info")

    def is_ready(self) -> bool:
        """Whether the service embeds and searches right now."""
        return self._service.answers("/readyz")

    # The three questions

    def classify(
        self,
        file: AnyPath | None = None,
        *,
        study: str | None = None,
        labels: Sequence[str] | None = None,
        prompts: str | None = None,
        probe: str | None = None,
    ) -> Classification:
        """Scores of a file or a study.

        Give one of `labels` (free texts), `prompts` (the name of a prompt set) and `probe`.
        """
        if study is None:
            [only] = self.classify_files(_one(file), labels=labels, prompts=prompts, probe=probe)
            return only
        asked = {"labels": labels, "prompts": prompts, "probe": probe, "study_instance_uid": study}
        return results.classification(self._service.post("/v1/classify", asked))

    def classify_files(
        self,
        files: Sequence[AnyPath],
        *,
        labels: Sequence[str] | None = None,
        prompts: str | None = None,
        probe: str | None = None,
    ) -> list[Classification]:
        """Scores of each file, as `classify` gives them for one."""
        asked = {
            "labels": None if labels is None else ",".join(labels),
            "prompts": prompts,
            "probe": probe,
        }
        answer = self._service.send_files("/v1/classify", files, asked)
        found = answer.get("results", [answer])
        return [results.classification({"space": answer.get("space"), **one}) for one in found]

    def search(
        self,
        *,
        text: str | None = None,
        image: AnyPath | None = None,
        study: str | None = None,
        image_id: int | None = None,
        k: int = 10,
        level: str | None = None,
        where: Where = (),
        include_same_patient: bool = False,
    ) -> SearchResult:
        """The `k` nearest images, series or studies to a text, a file, a study or a stored image."""
        how = {"k": k, "level": level, "where": list(where), "include_same_patient": include_same_patient}
        if image is not None:
            return results.search_result(self._service.send_files("/v1/search", [image], how))
        asked = {"text": text, "study_instance_uid": study, "image_id": image_id}
        return results.search_result(self._service.post("/v1/search", {**asked, **how}))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit-length vectors of texts, float32 [n, d]."""
        return self._embed(list(texts))

    def embed_images(self, files: Sequence[AnyPath]) -> NDArray[np.float32]:
        """Unit-length vectors of PNG or JPEG files, float32 [n, d]."""
        return self._embed([{"image": _data_uri(Path(file))} for file in files])

    def _embed(self, asked: Sequence[str | dict[str, str]]) -> NDArray[np.float32]:
        import numpy as np

        body = {"model": "", "input": list(asked), "encoding_format": "base64"}
        found = sorted(self._service.post("/v1/embeddings", body)["data"], key=lambda one: one["index"])
        return np.stack([np.frombuffer(b64decode(one["embedding"]), "<f4") for one in found])

    # Cases go in, are looked at, and leave

    def ingest(self, path: AnyPath, **options: Any) -> Job:
        """Start an ingest of a folder or file that the service itself can read, below its allowed roots."""
        return results.job(self._service.post("/v1/ingest", {"path": os.fspath(path), **options}, once=True))

    def upload(self, *files: AnyPath, metadata: AnyPath | None = None) -> Job:
        """Send DICOM files, pictures or zips, and start an ingest of them."""
        return results.job(self._service.send_files("/v1/ingest", files, {}, once=True, metadata=metadata))

    def studies(self, where: Where = ()) -> list[Study]:
        """The studies that fit all expressions."""
        answer = self._service.get("/v1/studies", where=list(where))
        return [results.study(one) for one in answer["studies"]]

    def study(self, uid: str) -> dict[str, Any]:
        """One study with its series and images."""
        return self._service.get(f"/v1/studies/{quote(uid)}")

    def preview(self, image_id: int) -> bytes:
        """A PNG of a stored image."""
        return self._service.get_bytes(f"/v1/images/{image_id}/preview")

    def forget_study(self, uid: str) -> dict[str, Any]:
        """Remove a study for good."""
        return self._service.delete(f"/v1/studies/{quote(uid)}")

    def forget_patient(self, patient_key: str) -> dict[str, Any]:
        """Remove a patient for good."""
        return self._service.delete(f"/v1/patients/{quote(patient_key)}")

    # Labels and probes

    def import_labels(self, csv: AnyPath) -> dict[str, Any]:
        """Store the labels of a CSV."""
        return self._service.send_files("/v1/labels", [csv], {})

    def labels(self) -> list[dict[str, Any]]:
        """The stored labels with their counts."""
        found: list[dict[str, Any]] = self._service.get("/v1/labels")["labels"]
        return found

    def train_probe(
        self,
        name: str,
        *,
        labels: Sequence[str] = (),
        labels_csv: AnyPath | None = None,
        level: str = "image",
        where: Where = (),
    ) -> Job:
        """Start training a probe on stored labels or on a CSV; `wait` for it, then `probe(name)`."""
        body = {"name": name, "level": level, "where": list(where)}
        if labels_csv is not None:
            return results.job(self._service.send_files("/v1/probes", [labels_csv], body, once=True))
        return results.job(self._service.post("/v1/probes", {**body, "labels": list(labels)}, once=True))

    def probes(self) -> list[dict[str, Any]]:
        """The probes of the archive."""
        found: list[dict[str, Any]] = self._service.get("/v1/probes")["probes"]
        return found

    def probe(self, name: str) -> Probe:
        """One probe with its figures."""
        return results.probe(self._service.get(f"/v1/probes/{quote(name)}"))

    def predict(self, name: str, *files: AnyPath, study: str | None = None) -> dict[str, Any]:
        """Probabilities of a probe's labels for files or a study."""
        if study is not None:
            return self._service.post(f"/v1/probes/{quote(name)}/predict", {"study_instance_uid": study})
        return self._service.send_files(f"/v1/probes/{quote(name)}/predict", files, {})

    def delete_probe(self, name: str) -> None:
        """Remove a probe."""
        self._service.delete(f"/v1/probes/{quote(name)}")

    # Jobs

    def job(self, job_id: str) -> Job:
        """The state of a job."""
        return results.job(self._service.get(f"/v1/jobs/{job_id}"))

    def cancel(self, job_id: str) -> Job:
        """Ask for a job's end."""
        return results.job(self._service.delete(f"/v1/jobs/{job_id}"))

    def wait(self, job: Job, on_progress: Callable[[Job], None] | None = None) -> Job:
        """Follow a job to its end and return it; raises `JobError` when it failed or was cancelled."""
        last = job
        for state in self.events(job.id):
            last = state
            if on_progress is not None:
                on_progress(state)
        if last.status != "done":
            raise JobError(last)
        return last

    def events(self, job_id: str) -> Iterator[Job]:
        """Every state of a job as it comes, the final one last; a broken connection is taken up again."""
        for event in self._service.events(f"/v1/jobs/{job_id}/events"):
            state = results.job(event)
            yield state
            if state.is_final:
                return


def _one(file: AnyPath | None) -> list[AnyPath]:
    if file is None:
        raise TypeError("give a file or a study")
    return [file]


def _data_uri(file: Path) -> str:
    from mimetypes import guess_type

    kind = guess_type(file.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{b64encode(file.read_bytes()).decode('ascii')}"
