"""A PACS in this process that keeps what it is sent."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import pydicom

from medsiglip.ingest.pacs.records import PacsInstance, PacsQuery, PacsStudy, StoreOutcome


@dataclass
class MemoryPacs:
    """Its studies, by what it says of them; of the first it also lists what was `stored`."""

    studies_held: list[PacsStudy]
    stored: list[pydicom.Dataset] = field(default_factory=list)

    @property
    def study(self) -> PacsStudy:
        return self.studies_held[0]

    def studies(self, query: PacsQuery) -> Iterator[PacsStudy]:
        for one in self.studies_held:
            is_study = query.study_instance_uid in (None, one.study_instance_uid)
            if is_study and query.patient_id in (None, one.patient_id):
                yield one

    def instances(self, study_instance_uid: str) -> list[PacsInstance]:
        return [
            PacsInstance(one.SeriesInstanceUID, one.SOPInstanceUID)
            for one in self.stored
            if one.StudyInstanceUID == study_instance_uid
        ]

    def store(self, files: Sequence[Path]) -> list[StoreOutcome]:
        outcomes = []
        for file in files:
            self.stored.append(pydicom.dcmread(io.BytesIO(file.read_bytes())))
            outcomes.append(StoreOutcome(file, self.stored[-1].SOPInstanceUID, 0))
        return outcomes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None
