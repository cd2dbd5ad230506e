"""`Client`: the HTTP service from Python. It needs httpx and pydantic, and numpy for embeddings.

    from medsiglip import Client

    with Client("http://127.0.0.1:8000", api_key="msk_...") as client:
        client.wait(client.ingest("/data/dicom"))
        print(client.classify("case.dcm", prompts="chest-xray").best)
        for hit in client.search(text="left pleural effusion", k=5).hits:
            print(hit.score, hit.study_instance_uid)

Results are the models of `medsiglip.answers`. Requests are retried when the service is busy, restarting or
unreachable; those that start a job carry an idempotency key, so that a lost answer does not start it twice.
"""

from __future__ import annotations

import os
import warnings
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from medsiglip.answers.answer import Answer
from medsiglip.answers.cases import (
    ImportedLabels,
    Label,
    LabelList,
    Removal,
    Study,
    StudyDetail,
    StudyList,
)
from medsiglip.answers.figures import Probe, ProbeList, ProbeSummary
from medsiglip.answers.jobs import Job
from medsiglip.answers.questions import Classification, ClassifyAnswer, Prediction, SearchAnswer
from medsiglip.answers.reports import (
    Report,
    ReportFormat,
    ReportLine,
    ReportList,
    Route,
    RouteDetail,
    RouteList,
    RouteRun,
    RouteTest,
)
from medsiglip.answers.service import Info
from medsiglip.client.connection import AnyPath, ApiError, Connection, Json, TruncatedTextWarning

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ApiError", "Client", "JobError", "TruncatedTextWarning"]

Where = Sequence[str]
Kind = TypeVar("Kind", bound=Answer)


class JobError(Exception):
    """A job that ended otherwise than done; `job` is its last state."""

    def __init__(self, job: Job) -> None:
        message = None if job.error is None else job.error.message
        super().__init__(message or f"The job {job.id} was {job.status}.")
        self.job = job
        self.code = job.status if job.error is None else job.error.code


class Client:
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
        """Close the connections."""
        self._service.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # The service itself

    def info(self) -> Info:
        """The model, the space and the counts of the archive."""
        return _read(Info, self._service.get("/v1/info"))

    def is_ready(self) -> bool:
        """Whether the service embeds and searches right now."""
        return self._service.answers("/readyz")

    # Classification, search and embeddings

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
        body = {"labels": labels, "prompts": prompts, "probe": probe, "study_instance_uid": study}
        return _read(Classification, self._service.post("/v1/classify", body))

    def classify_files(
        self,
        files: Sequence[AnyPath],
        *,
        labels: Sequence[str] | None = None,
        prompts: str | None = None,
        probe: str | None = None,
    ) -> list[Classification]:
        """Scores of each file, as `classify` gives them for one."""
        form = {
            "labels": None if labels is None else ",".join(labels),
            "prompts": prompts,
            "probe": probe,
        }
        answer = _read(ClassifyAnswer, self._service.send_files("/v1/classify", files, form))
        if answer.results is None:
            return [answer]
        shared = {"space": answer.space, "warnings": answer.warnings}
        return [one.model_copy(update=shared) for one in answer.results]

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
    ) -> SearchAnswer:
        """The `k` nearest images, series or studies to a text, a file, a study or a stored image."""
        how = {"k": k, "level": level, "where": list(where), "include_same_patient": include_same_patient}
        if image is not None:
            return _read(SearchAnswer, self._service.send_files("/v1/search", [image], how))
        body = {"text": text, "study_instance_uid": study, "image_id": image_id, **how}
        return _read(SearchAnswer, self._service.post("/v1/search", body))

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit-length vectors of texts, float32 [n, d]; warns of texts that the model does not read whole
        (`TruncatedTextWarning`).
        """
        return self._embed(list(texts))

    def embed_images(self, files: Sequence[AnyPath]) -> NDArray[np.float32]:
        """Unit-length vectors of PNG or JPEG files, float32 [n, d]."""
        return self._embed([{"image": _data_uri(Path(file))} for file in files])

    def _embed(self, inputs: Sequence[str | dict[str, str]]) -> NDArray[np.float32]:
        import numpy as np

        body = {"model": "", "input": list(inputs), "encoding_format": "base64"}
        answer = self._service.post("/v1/embeddings", body)
        for warning in answer.get("warnings", ()):
            warnings.warn(warning, TruncatedTextWarning, stacklevel=3)
        found = sorted(answer["data"], key=lambda one: one["index"])
        return np.stack([np.frombuffer(b64decode(one["embedding"]), "<f4") for one in found])

    # Cases

    def ingest(self, path: AnyPath, **options: Any) -> Job:
        """Start an ingest of a folder or file that the service itself can read, below its allowed roots."""
        return _read(Job, self._service.post("/v1/ingest", {"path": os.fspath(path), **options}, once=True))

    def upload(self, *files: AnyPath, metadata: AnyPath | None = None) -> Job:
        """Send DICOM files, pictures or zips, and start an ingest of them."""
        return _read(Job, self._service.send_files("/v1/ingest", files, {}, once=True, metadata=metadata))

    def studies(self, where: Where = ()) -> list[Study]:
        """The studies that fit all expressions."""
        answer = self._service.get("/v1/studies", where=list(where))
        return list(_read(StudyList, answer).studies)

    def study(self, uid: str) -> StudyDetail:
        """One study with its series and images."""
        return _read(StudyDetail, self._service.get(f"/v1/studies/{quote(uid)}"))

    def preview(self, image_id: int) -> bytes:
        """A PNG of a stored image."""
        return self._service.get_bytes(f"/v1/images/{image_id}/preview")

    def forget_study(self, uid: str) -> Removal:
        """Remove a study for good."""
        return _read(Removal, self._service.delete(f"/v1/studies/{quote(uid)}"))

    def forget_patient(self, patient_key: str) -> Removal:
        """Remove a patient for good."""
        return _read(Removal, self._service.delete(f"/v1/patients/{quote(patient_key)}"))

    # Labels and probes

    def import_labels(self, csv: AnyPath) -> ImportedLabels:
        """Store the labels of a CSV."""
        return _read(ImportedLabels, self._service.send_files("/v1/labels", [csv], {}))

    def labels(self) -> list[Label]:
        """The stored labels with their counts."""
        return list(_read(LabelList, self._service.get("/v1/labels")).labels)

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
            return _read(Job, self._service.send_files("/v1/probes", [labels_csv], body, once=True))
        return _read(Job, self._service.post("/v1/probes", {**body, "labels": list(labels)}, once=True))

    def probes(self) -> list[ProbeSummary]:
        """The probes of the archive."""
        return list(_read(ProbeList, self._service.get("/v1/probes")).probes)

    def probe(self, name: str) -> Probe:
        """One probe with its figures."""
        return _read(Probe, self._service.get(f"/v1/probes/{quote(name)}"))

    def predict(self, name: str, *files: AnyPath, study: str | None = None) -> Prediction:
        """Probabilities of a probe's labels for files or a study."""
        path = f"/v1/probes/{quote(name)}/predict"
        if study is not None:
            return _read(Prediction, self._service.post(path, {"study_instance_uid": study}))
        return _read(Prediction, self._service.send_files(path, files, {}))

    def delete_probe(self, name: str) -> None:
        """Remove a probe."""
        self._service.delete(f"/v1/probes/{quote(name)}")

    # Drafts and routing rules

    def draft(
        self,
        study: str,
        *,
        route: str | None = None,
        generator: str | None = None,
        indication: str | None = None,
    ) -> Job:
        """Start a draft report of a study; the id of the draft is that of the job."""
        body = {
            "study_instance_uid": study,
            "route": route,
            "generator": generator,
            "indication": indication,
        }
        return _read(Job, self._service.post("/v1/reports", body, once=True))

    def reports(self, *, status: str | None = None, study: str | None = None) -> list[ReportLine]:
        """The newest drafts and what became of them."""
        answer = self._service.get("/v1/reports", status=status, study_instance_uid=study)
        return list(_read(ReportList, answer).reports)

    def report(self, report_id: str) -> Report:
        """One draft with its evidence and checks."""
        return _read(Report, self._service.get(_report(report_id)))

    def accept(self, report_id: str, *, revision: int | None = None) -> Report:
        """Accept a draft as it is. `revision` is that of the draft as it was seen: a draft that has changed
        since is refused (`draft-changed`).
        """
        return self._decide(report_id, "accept", revision=revision)

    def edit(self, report_id: str, text: str, *, revision: int | None = None) -> Report:
        """Replace the text of a draft by a person's; `revision` as in `accept`."""
        return self._decide(report_id, "edit", text=text, revision=revision)

    def reject(self, report_id: str, reason: str, *, revision: int | None = None) -> Report:
        """Reject a draft; `revision` as in `accept`."""
        return self._decide(report_id, "reject", reason=reason, revision=revision)

    def _decide(self, report_id: str, decision: str, **body: Any) -> Report:
        return _read(Report, self._service.post(f"{_report(report_id)}/{decision}", body))

    def export(self, report_id: str, kind: ReportFormat = "markdown") -> bytes:
        """A draft as a file."""
        return self._service.get_bytes(f"{_report(report_id)}/export", format=kind)

    def routes(self) -> list[Route]:
        """The routing rules, the most urgent first."""
        return list(_read(RouteList, self._service.get("/v1/routes")).routes)

    def put_route(self, name: str, rule: Mapping[str, Any]) -> RouteDetail:
        """Make a routing rule, or change the one of that name."""
        return _read(RouteDetail, self._service.put(_route(name), rule))

    def remove_route(self, name: str) -> None:
        """Remove a routing rule; its drafts stay."""
        self._service.delete(_route(name))

    def test_route(self, name: str) -> RouteTest:
        """What a routing rule would send of the archive, and why; nothing is sent."""
        return _read(RouteTest, self._service.post(f"{_route(name)}/test"))

    def run_route(self, name: str) -> RouteRun:
        """Evaluate a routing rule now, on all that it looks at and has not sent."""
        return _read(RouteRun, self._service.post(f"{_route(name)}/run"))

    # Jobs

    def job(self, job_id: str) -> Job:
        """The state of a job."""
        return _read(Job, self._service.get(f"/v1/jobs/{job_id}"))

    def cancel(self, job_id: str) -> Job:
        """Cancel a job."""
        return _read(Job, self._service.delete(f"/v1/jobs/{job_id}"))

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
        """Every state of a job as it comes, the final one last; a broken connection is resumed."""
        for event in self._service.events(f"/v1/jobs/{job_id}/events"):
            state = _read(Job, event)
            yield state
            if state.is_final:
                return


def _read(kind: type[Kind], answer: Json) -> Kind:
    try:
        return kind.model_validate(answer)
    except ValidationError as error:
        message = "The service's answer has another form than this client expects; update the client."
        raise ApiError("unexpected-answer", message) from error


def _one(file: AnyPath | None) -> list[AnyPath]:
    if file is None:
        raise TypeError("give a file or a study")
    return [file]


def _data_uri(file: Path) -> str:
    from mimetypes import guess_type

    kind = guess_type(file.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{b64encode(file.read_bytes()).decode('ascii')}"


def _report(report_id: str) -> str:
    return f"/v1/reports/{quote(report_id, safe='')}"


def _route(name: str) -> str:
    return f"/v1/routes/{quote(name, safe='')}"
