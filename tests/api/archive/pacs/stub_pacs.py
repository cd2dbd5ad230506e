"""A PACS in this process, for what is done with its answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from medsiglip.ingest.errors import PacsError
from medsiglip.ingest.pacs.records import EchoAnswer, PacsQuery, PacsStudy

URL = "http://127.0.0.1:9/dicom-web"
PERSON = PacsStudy(
    study_instance_uid="1.2.840.7",
    patient_id=" 4711 ",
    issuer_of_patient_id="KH",
    patient_name="Müller^Jörg",
    patient_sex="M",
    study_date="20260301",
    accession_number="A-77",
    study_description="CT Thorax Müller",
    modalities=("CT", "Jörg M"),
    series=2,
    instances=3,
)


class StubPacs:
    """A PACS in this process, which answers what it is given, or fails."""

    def __init__(self, studies: Sequence[PacsStudy], failure: PacsError | None = None) -> None:
        self.held = list(studies)
        self.failure = failure
        self.asked: list[PacsQuery] = []

    def echo(self) -> EchoAnswer:
        if self.failure is not None:
            raise self.failure
        return EchoAnswer(0.25, "stub")

    def studies(self, query: PacsQuery) -> Iterator[PacsStudy]:
        self.asked.append(query)
        yield from self.held[: query.limit]
        if self.failure is not None:
            raise self.failure

    def __enter__(self) -> StubPacs:
        return self

    def __exit__(self, *_: object) -> None:
        pass
