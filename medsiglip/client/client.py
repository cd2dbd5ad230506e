"""`Client`: the HTTP service from Python. It needs httpx and pydantic, and numpy for embeddings.

    from medsiglip import Client

    with Client("http://127.0.0.1:8000", api_key="msk_...") as client:
        client.wait(client.ingest("/data/dicom"))
        print(client.classify("case.dcm", prompts="chest-xray").best)
        for hit in client.search(text="left pleural effusion", k=5).hits:
            print(hit.score, hit.study_instance_uid)

Arguments that take several values take lists: one string is refused (TypeError), as are arguments that
contradict each other. Results are the models of `medsiglip.answers`. Requests are retried when the service is
busy, restarting or unreachable; those that start a job carry an idempotency key, so that a lost answer does
not start it twice.
"""

from __future__ import annotations

import os
import warnings
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx

from medsiglip.answers.cases import (
    Removal,
    Study,
    StudyDetail,
    StudyList,
)
from medsiglip.answers.figures import Probe, ProbeList, ProbeSummary
from medsiglip.answers.jobs import Job
from medsiglip.answers.questions import Prediction
from medsiglip.answers.service import Info, ModelCard, ModelList
from medsiglip.answers.spaces import DroppedSpace, SpaceCount, SpaceList
from medsiglip.arguments import one_of, several
from medsiglip.client.access import AccessMethods
from medsiglip.client.browsing import BrowsingMethods
from medsiglip.client.calibrations import CalibrationMethods
from medsiglip.client.connection import AnyPath, ApiError, Connection, TruncatedTextWarning, read
from medsiglip.client.drafts import DraftMethods
from medsiglip.client.evaluations import EvaluationMethods
from medsiglip.client.jobs import JobMethods
from medsiglip.client.labels import LabelMethods
from medsiglip.client.maps import MapMethods
from medsiglip.client.pacs import PacsMethods
from medsiglip.client.paths import checked, path_of
from medsiglip.client.pictures import PictureMethods
from medsiglip.client.probes import ProbeMethods
from medsiglip.client.scores import ScoreMethods
from medsiglip.client.searches import SearchMethods
from medsiglip.client.why import WhyMethods

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["ApiError", "Client", "JobError", "TruncatedTextWarning"]

Where = Sequence[str]


class JobError(Exception):
    """A job that ended otherwise than done; `job` is its last state."""

    def __init__(self, job: Job) -> None:
        message = None if job.error is None else job.error.message
        super().__init__(message or f"The job {job.id} was {job.status}.")
        self.job = job
        self.code = job.status if job.error is None else job.error.code


class Client(
    AccessMethods,
    BrowsingMethods,
    CalibrationMethods,
    DraftMethods,
    EvaluationMethods,
    LabelMethods,
    JobMethods,
    MapMethods,
    PacsMethods,
    PictureMethods,
    ProbeMethods,
    ScoreMethods,
    SearchMethods,
    WhyMethods,
):
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
        return read(Info, self._service.get("/v1/info"))

    def is_ready(self) -> bool:
        """Whether the service embeds and searches right now."""
        return self._service.answers("/readyz")

    def models(self) -> list[ModelCard]:
        """The models that `embed_texts` and `embed_images` may be answered by."""
        return list(read(ModelList, self._service.get("/v1/models")).data)

    # Classification, search and embeddings

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Unit-length vectors of texts, float32 [n, d]; warns of texts that the model does not read whole
        (`TruncatedTextWarning`).
        """
        return self._embed(several("texts", texts))

    def embed_images(self, files: Sequence[AnyPath]) -> NDArray[np.float32]:
        """Unit-length vectors of pictures (PNG, JPEG, TIFF, BMP) or DICOM files, float32 [n, d]."""
        return self._embed([{"image": _data_uri(Path(file))} for file in several("files", files)])

    def _embed(self, inputs: Sequence[str | dict[str, str]]) -> NDArray[np.float32]:
        import numpy as np

        body = {"model": "", "input": list(inputs), "encoding_format": "base64"}
        answer = self._service.post("/v1/embeddings", body)
        for warning in answer.get("warnings", ()):
            warnings.warn(warning, TruncatedTextWarning, stacklevel=3)
        found = sorted(answer["data"], key=lambda one: one["index"])
        return np.stack([np.frombuffer(b64decode(one["embedding"]), "<f4") for one in found])

    # Cases

    def ingest(self, path: AnyPath, *, dry_run: bool = False, **options: Any) -> Job:
        """Start an ingest of a folder or file that the service itself can read, below its allowed roots.

        With `dry_run` the job tells what an ingest would do, and nothing is stored.
        """
        options |= {"dry_run": True} if dry_run else {}
        return read(Job, self._service.post("/v1/ingest", {"path": os.fspath(path), **options}, once=True))

    def upload(self, *files: AnyPath, metadata: AnyPath | None = None, dry_run: bool = False) -> Job:
        """Send DICOM files, pictures or zips, and start an ingest of them, or a dry run, after which they are
        deleted.
        """
        asked = {"dry_run": True} if dry_run else {}
        return read(Job, self._service.send_files("/v1/ingest", files, asked, once=True, metadata=metadata))

    def studies(self, where: Where = ()) -> list[Study]:
        """The studies that fit all expressions."""
        answer = self._service.get("/v1/studies", where=several("where", where))
        return list(read(StudyList, answer).studies)

    def study(self, uid: str) -> StudyDetail:
        """One study with its series and images."""
        return read(StudyDetail, self._service.get(_study(uid)))

    def forget_study(self, uid: str) -> Removal:
        """Remove a study for good."""
        return read(Removal, self._service.delete(_study(uid)))

    def forget_patient(self, patient_key: str) -> Removal:
        """Remove a patient for good."""
        return read(
            Removal, self._service.delete(path_of("patients", ("patient_key", "patient_key", patient_key)))
        )

    # Spaces

    def spaces(self) -> list[SpaceCount]:
        """The spaces of the archive, the active one first."""
        return list(read(SpaceList, self._service.get("/v1/spaces")).spaces)

    def reembed(self, to: str | None = None, *, allow_missing: bool = False) -> Job:
        """Start embedding every image anew with the model `to`, which the archive switches to at the end;
        without one, those that are drawn otherwise now. With `allow_missing`, images whose files are gone
        stay behind.
        """
        body = {"to": to, "allow_missing": allow_missing}
        return read(Job, self._service.post("/v1/spaces", body, once=True))

    def drop_space(self, name: str) -> DroppedSpace:
        """Delete the vectors of a space that the archive does not work in."""
        return read(DroppedSpace, self._service.delete(path_of("spaces", ("name", "name", name))))

    # Probes

    def train_probe(
        self,
        name: str,
        *,
        labels: Sequence[str] = (),
        labels_csv: AnyPath | None = None,
        level: str = "image",
        where: Where = (),
        exclusive: bool = False,
        pooling: str = "mean",
        folds: int = 5,
        split: str | None = None,
        class_weight: str | None = None,
    ) -> Job:
        """Start training a probe on stored labels or on a CSV; `wait` for it, then `probe(name)`.

        With `exclusive` the labels are classes of which each case has one. `pooling`, mean or max, is how the
        pictures of a series or study become one score. `split` names a column of the CSV, or a stored
        quality, with train, validation and test; without it there are `folds`. `class_weight` is balanced, or
        None.
        """
        named = several("labels", labels)
        one_of(labels=named, labels_csv=labels_csv)
        where = several("where", where)
        plan = {"exclusive": exclusive, "pooling": pooling, "folds": folds}
        plan |= {"split": split} if split is not None else {}
        plan |= {"class_weight": class_weight} if class_weight is not None else {}
        body = {"name": checked("name", "name", name), "level": level, "where": where, **plan}
        if labels_csv is not None:
            return read(Job, self._service.send_files("/v1/probes", [labels_csv], body, once=True))
        return read(Job, self._service.post("/v1/probes", {**body, "labels": named}, once=True))

    def probes(self, *, all_versions: bool = False) -> list[ProbeSummary]:
        """The probes of the archive: the newest version of each, or all."""
        answer = self._service.get("/v1/probes", all_versions=all_versions or None)
        return list(read(ProbeList, answer).probes)

    def probe(self, name: str) -> Probe:
        """One probe with its figures."""
        return read(Probe, self._service.get(_probe(name)))

    def predict(self, name: str, *files: AnyPath, study: str | None = None) -> Prediction:
        """Probabilities of a probe's labels for files or a study."""
        path = _probe(name, "predict")
        one_of(files=files, study=study)
        if study is not None:
            uid = checked("study", "uid", study)
            return read(Prediction, self._service.post(path, {"study_instance_uid": uid}))
        return read(Prediction, self._service.send_files(path, files, {}))

    def delete_probe(self, name: str) -> None:
        """Remove a probe."""
        self._service.delete(_probe(name))

    # Jobs

    def job(self, job_id: str) -> Job:
        """The state of a job."""
        return read(Job, self._service.get(_job(job_id)))

    def cancel(self, job_id: str) -> Job:
        """Cancel a job."""
        return read(Job, self._service.delete(_job(job_id)))

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
        for event in self._service.events(_job(job_id, "events")):
            state = read(Job, event)
            yield state
            if state.is_final:
                return


def _data_uri(file: Path) -> str:
    from mimetypes import guess_type

    kind = guess_type(file.name)[0] or "application/octet-stream"
    return f"data:{kind};base64,{b64encode(file.read_bytes()).decode('ascii')}"


def _study(uid: str) -> str:
    return path_of("studies", ("uid", "uid", uid))


def _probe(name: str, *further: str) -> str:
    return path_of("probes", ("name", "probe", name), *further)


def _job(job_id: str, *further: str) -> str:
    return path_of("jobs", ("job_id", "identifier", job_id), *further)
