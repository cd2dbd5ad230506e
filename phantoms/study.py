"""The parts of a phantom study, before it becomes DICOM files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to see in an image, in the words of a report.

    `name` is a kebab-case finding of the anatomy's `FINDINGS`; `side` is "left", "right", "bilateral" or
    None; `severity` an adjective ("small", "moderate", "large", "mild", "severe") or None; `location` a place
    ("upper lobe", "lower zone") or None.
    """

    name: str
    side: str | None = None
    severity: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class PhantomSeries:
    """One synthesised series with the attributes that a scanner would write.

    `pixels` are stored values: [n, rows, columns] int16 or uint16, or [n, rows, columns, 3] uint8 for colour;
    n is 1 for a radiograph or photograph and the slice count for a volume, ordered as `image_positions`.
    `image_findings[i]` is what can be seen in image i; `findings` those of the whole series.
    """

    anatomy: str
    modality: str
    body_part_examined: str
    pixels: NDArray[np.generic]
    photometric_interpretation: str
    findings: tuple[Finding, ...]
    image_findings: tuple[tuple[Finding, ...], ...]
    series_description: str
    bits_stored: int = 12
    pixel_spacing: tuple[float, float] | None = None
    rescale: tuple[float, float] = (1.0, 0.0)
    window: tuple[float, float] | None = None
    view_position: str | None = None
    laterality: str | None = None
    slice_thickness: float | None = None
    image_orientation: tuple[float, ...] | None = None
    image_positions: tuple[tuple[float, float, float], ...] = ()
    extra: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PhantomStudy:
    """One synthesised study of an invented patient: identifiers, series, report text and labels.

    `labels` holds every finding of the anatomy with 0 or 1.
    """

    study_instance_uid: str
    patient_id: str
    patient_name: str
    patient_sex: str
    patient_age: int
    study_date: str
    study_description: str
    series: tuple[PhantomSeries, ...]
    report: str
    labels: Mapping[str, int]
