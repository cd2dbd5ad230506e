"""Rendered units as records of the index."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from medsiglip.index.catalogue.agreement import agree
from medsiglip.index.records import (
    FileRecord,
    ImageRecord,
    InstanceRecord,
    Quality,
    SeriesBundle,
    SeriesRecord,
    StudyRecord,
)
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.header.quality import image_quality
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.render.renderings import version_of
from medsiglip.ingest.run.file_records import rejected_record
from medsiglip.ingest.units.plan import Unit
from medsiglip.ingest.workers.rendered_unit import ImageFacts, RenderedUnit


def bundle_of(
    unit: Unit, rendered: RenderedUnit, copies: Mapping[str, Sequence[Header]]
) -> tuple[SeriesBundle | None, list[FileRecord], list[Rejected]]:
    """What one transaction stores for a unit: its bundle (None if no file is usable), the rows of the
    unusable files, and their rejections. Copies of a file enter with it.
    """
    hashes: dict[int, str] = {}
    files: list[FileRecord] = []
    refused: list[FileRecord] = []
    rejections: list[Rejected] = []
    for outcome in rendered.files:
        header = unit.headers[outcome.file]
        if outcome.pixel_hash is None:
            rejected = header.refused(outcome.code or "undecodable-pixels")
            rejections.append(rejected)
            if not copies.get(header.path):  # one of its copies may be usable
                refused.append(rejected_record(rejected, header.size, header.mtime_ns))
        else:
            hashes[outcome.file] = outcome.pixel_hash
            same = (header, *copies.get(header.path, ()))
            files += [_embedded(one, outcome.pixel_hash) for one in same]
    if unit.replace_series and not any(file.path in unit.new for file in files):
        # None of the new files is usable: the series in the index stays as it is.
        refused = [row for row in refused if row.path in unit.new]
        return None, refused, [rejected for rejected in rejections if rejected.path in unit.new]
    if not hashes:
        return None, refused, rejections
    used = [unit.headers[file] for file in sorted(hashes)]
    qualities = {outcome.file: outcome.quality for outcome in rendered.files}
    bundle = SeriesBundle(
        study=agree(*map(_study, used)),
        series=replace(agree(*map(_series, used)), orientation=unit.orientation),
        instances=tuple(_instance(unit.headers[file], digest) for file, digest in sorted(hashes.items())),
        images=tuple(
            _image(unit.headers[i.slice.file], hashes[i.slice.file], i, qualities[i.slice.file])
            for i in rendered.images
        ),
        files=tuple(files),
        replace_series=unit.replace_series,
        beside=unit.beside,
        replaced=_as_renewed(unit.replaced, renewed_hashes(rendered)),
    )
    return bundle, refused, rejections


def renewed_hashes(rendered: RenderedUnit) -> dict[str, str]:
    """The pixel hash of each usable file by the hash of the same pixels in earlier versions, where the unit
    asked for that.
    """
    outcomes = rendered.files
    return {one.older_hash: one.pixel_hash for one in outcomes if one.older_hash and one.pixel_hash}


def _as_renewed(
    identities: frozenset[tuple[str, str]] | None, renewed: Mapping[str, str]
) -> frozenset[tuple[str, str]] | None:
    if identities is None or not renewed:
        return identities
    return frozenset((uid, renewed.get(pixel_hash, pixel_hash)) for uid, pixel_hash in identities)


def _study(header: Header) -> StudyRecord:
    return StudyRecord(
        header.study_instance_uid,
        header.patient_key,
        header.patient_sex,
        header.patient_age,
        header.study_date,
        header.study_description,
        header.identity,
        header.study_time,
    )


def _series(header: Header) -> SeriesRecord:
    return SeriesRecord(
        header.series_instance_uid,
        header.modality,
        header.body_part_examined,
        header.view_position,
        header.laterality,
        header.series_description,
        header.manufacturer,
    )


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


def _image(header: Header, pixel_hash: str, facts: ImageFacts, quality: Mapping[str, Quality]) -> ImageRecord:
    return ImageRecord(
        header.sop_instance_uid,
        pixel_hash,
        facts.slice.frame,
        facts.slice.slice_index,
        facts.rendering,
        {**facts.params, "version": version_of(facts.rendering)},
        (*header.warnings, *facts.warnings),
        image_quality({**header.quality, **quality}, facts.quality, facts.warnings),
        facts.thumbnail,
    )
