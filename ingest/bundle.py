"""Drawn units as the records that the index takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from index.records import (
    FileRecord,
    ImageRecord,
    InstanceRecord,
    Quality,
    SeriesBundle,
    SeriesRecord,
    StudyRecord,
)
from ingest.drawn_unit import DrawnUnit, ImageFacts
from ingest.header import Header
from ingest.plan import Unit
from ingest.quality import image_quality
from ingest.reasons import Rejected
from ingest.triage import rejected_record


def bundle_of(
    unit: Unit, drawn: DrawnUnit, copies: Mapping[str, Sequence[Header]]
) -> tuple[SeriesBundle | None, list[FileRecord], list[Rejected]]:
    """What one transaction stores for a unit: its bundle (None if no file could be used), the rows of the
    files that could not be used, and why. A copy of a file shares that file's fate.
    """
    hashes: dict[int, str] = {}
    files: list[FileRecord] = []
    refused: list[FileRecord] = []
    rejections: list[Rejected] = []
    for outcome in drawn.files:
        header = unit.headers[outcome.file]
        for same in (header, *copies.get(header.path, ())):
            if outcome.pixel_hash is None:
                rejected = same.refused(outcome.code or "undecodable-pixels")
                rejections.append(rejected)
                refused.append(rejected_record(rejected, same.size, same.mtime_ns))
            else:
                hashes[outcome.file] = outcome.pixel_hash
                files.append(_embedded(same, outcome.pixel_hash))
    if not hashes:
        return None, refused, rejections
    first = unit.headers[min(hashes)]
    told = {outcome.file: outcome.quality for outcome in drawn.files}
    bundle = SeriesBundle(
        study=StudyRecord(
            first.study_instance_uid,
            first.patient_key,
            first.patient_sex,
            first.patient_age,
            first.study_date,
            first.study_description,
            first.identity,
        ),
        series=SeriesRecord(
            first.series_instance_uid,
            first.modality,
            first.body_part_examined,
            first.view_position,
            first.laterality,
            first.series_description,
            first.manufacturer,
            unit.orientation,
        ),
        instances=tuple(_instance(unit.headers[file], digest) for file, digest in sorted(hashes.items())),
        images=tuple(
            _image(unit.headers[i.slice.file], hashes[i.slice.file], i, told[i.slice.file])
            for i in drawn.images
        ),
        files=tuple(files),
        replace_series=unit.replace_series,
    )
    return bundle, refused, rejections


def _embedded(header: Header, pixel_hash: str) -> FileRecord:
    return FileRecord(
        header.path,
        header.size,
        header.mtime_ns,
        sop_instance_uid=header.sop_instance_uid,
        pixel_hash=pixel_hash,
    )


def _instance(header: Header, pixel_hash: str) -> InstanceRecord:
    return InstanceRecord(
        header.sop_instance_uid,
        pixel_hash,
        header.sop_class_uid or None,
        header.transfer_syntax_uid or None,
        header.photometric_interpretation or None,
        header.rows,
        header.columns,
        header.number_of_frames,
        header.instance_number,
    )


def _image(header: Header, pixel_hash: str, facts: ImageFacts, told: Mapping[str, Quality]) -> ImageRecord:
    return ImageRecord(
        header.sop_instance_uid,
        pixel_hash,
        facts.slice.frame,
        facts.slice.slice_index,
        facts.rendering,
        facts.params,
        (*header.warnings, *facts.warnings),
        image_quality({**header.quality, **told}, facts.quality, facts.warnings),
    )
