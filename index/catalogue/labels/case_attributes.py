"""What tells patients and scanners apart, for the figures of subgroups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import images, series, studies


@dataclass(frozen=True, slots=True)
class CaseAttributes:
    """Sex and age in years of the patient at the study, manufacturer and site of an image, and the date of
    the study in ISO 8601; None where not known. The site is the column `site` of a metadata CSV, or a keyed
    hash of Institution Name.
    """

    patient_sex: str | None
    patient_age: float | None
    manufacturer: str | None
    site: str | None
    study_date: str | None = None


def case_attributes(connection: Connection, image_ids: Sequence[int]) -> list[CaseAttributes]:
    """The attributes of images, in their order; all None for one that does not exist any more."""
    columns = (
        images.c.id,
        studies.c.patient_sex,
        studies.c.patient_age,
        series.c.manufacturer,
        images.c.quality["site"].as_string(),
        studies.c.study_date,
    )
    joined = images.join(series, images.c.series_id == series.c.id).join(
        studies, images.c.study_id == studies.c.id
    )
    statement = select(*columns).select_from(joined).where(one_of(images.c.id, list(image_ids)))
    found = {row[0]: CaseAttributes(*row[1:]) for row in connection.execute(statement)}
    nothing = CaseAttributes(None, None, None, None)
    return [found.get(image_id, nothing) for image_id in image_ids]
