"""Answers of QIDO-RS: studies, series and instances as DICOM JSON (PS3.18, section 10.6.3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from medsiglip.api.archive.dicomweb.questions import ListQuestion
from medsiglip.index.catalogue.hierarchy.records import HeldInstance, HeldSeries, HeldStudy, Match
from medsiglip.ingest.retrieval.data_element import DataElement, as_json, text
from medsiglip.ingest.retrieval.instance_facts import dicom_age, dicom_date, dicom_time

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive

Held = TypeVar("Held", HeldStudy, HeldSeries, HeldInstance)
Elements = dict[int, DataElement]


class FoundList:
    """One page: DICOM JSON, the studies that it names, and whether more rows follow."""

    def __init__(self, rows: list[dict[str, Any]], studies: list[str], more: bool) -> None:
        self.rows = rows
        self.studies = studies
        self.more = more


def find_studies(archive: OpenedArchive, question: ListQuestion, base_url: str) -> FoundList:
    """Studies; `base_url` is the address of the DICOMweb service, without a slash at its end."""
    found, more = _page(archive.index.hierarchy.studies, question)
    shared = _Shared(archive, base_url)
    rows = [shared.json({**shared.study(one), **_of_study(one)}) for one in found]
    return FoundList(rows, [one.study_instance_uid for one in found], more)


def find_series(archive: OpenedArchive, question: ListQuestion, base_url: str) -> FoundList:
    """Series with the attributes of their studies."""
    found, more = _page(archive.index.hierarchy.series, question)
    shared = _Shared(archive, base_url)
    rows = [shared.json({**shared.study(one.study), **shared.series(one)}) for one in found]
    return FoundList(rows, [one.study.study_instance_uid for one in found], more)


def find_instances(archive: OpenedArchive, question: ListQuestion, base_url: str) -> FoundList:
    """Instances with the attributes of their series and studies."""
    found, more = _page(archive.index.hierarchy.instances, question)
    shared = _Shared(archive, base_url)
    rows = [
        shared.json({**shared.study(one.series.study), **shared.series(one.series), **shared.instance(one)})
        for one in found
    ]
    return FoundList(rows, [one.series.study.study_instance_uid for one in found], more)


def _page(
    find: Callable[[Sequence[Match], int, int], list[Held]], question: ListQuestion
) -> tuple[list[Held], bool]:
    if question.empty:
        return [], False
    found = find(question.matches, question.limit + 1, question.offset)
    return found[: question.limit], len(found) > question.limit


class _Shared:
    """The attributes of each level, with the addresses that they are retrieved from."""

    def __init__(self, archive: OpenedArchive, base_url: str) -> None:
        self._base = base_url
        # A strict home keeps no paths, so that few of its files can be read again.
        self._availability = "OFFLINE" if archive.index.phi == "strict" else "ONLINE"

    def json(self, elements: Elements) -> dict[str, Any]:
        return as_json(elements, lambda place: "")

    def study(self, one: HeldStudy) -> Elements:
        return {
            0x00080005: text("CS", "ISO_IR 192"),
            0x00080020: text("DA", dicom_date(one.study_date)),
            0x00080030: text("TM", dicom_time(one.study_time)),
            0x00080050: text("SH"),
            0x00080056: text("CS", self._availability),
            0x00080090: text("PN"),
            0x00081030: text("LO", nameless(one.study_description, one)),
            0x00081190: text("UR", f"{self._base}/studies/{one.study_instance_uid}"),
            0x00100010: text("PN", one.patient_key),
            0x00100020: text("LO", one.patient_key),
            0x00100030: text("DA"),
            0x00100040: text("CS", one.patient_sex),
            0x00101010: text("AS", dicom_age(one.patient_age)),
            0x0020000D: text("UI", one.study_instance_uid),
            0x00200010: text("SH"),
        }

    def series(self, one: HeldSeries) -> Elements:
        uid = one.series_instance_uid
        counted = {0x00201209: text("IS", str(one.instances))} if one.instances else {}
        return {
            0x00080060: text("CS", one.modality),
            0x00080070: text("LO", nameless(one.manufacturer, one.study)),
            0x0008103E: text("LO", nameless(one.series_description, one.study)),
            0x00081190: text("UR", f"{self._base}/studies/{one.study.study_instance_uid}/series/{uid}"),
            0x00180015: text("CS", one.body_part_examined),
            0x00200060: text("CS", one.laterality),
            0x0020000E: text("UI", uid),
            **counted,
        }

    def instance(self, one: HeldInstance) -> Elements:
        study, uid = one.series.study.study_instance_uid, one.sop_instance_uid
        series = one.series.series_instance_uid
        frames = {0x00280008: text("IS", str(one.number_of_frames))} if one.number_of_frames else {}
        return {
            0x00080016: text("UI", one.sop_class_uid),
            0x00080018: text("UI", uid),
            0x00081190: text("UR", f"{self._base}/studies/{study}/series/{series}/instances/{uid}"),
            0x00083002: text("UI", one.transfer_syntax_uid),
            0x00200013: text("IS", None if one.instance_number is None else str(one.instance_number)),
            **frames,
            **{
                tag: DataElement("US", (value,))
                for tag, value in ((0x00280010, one.rows), (0x00280011, one.columns))
                if value is not None and value < 1 << 16
            },
        }


def _of_study(one: HeldStudy) -> Elements:
    return {
        0x00080061: text("CS", *one.modalities),
        0x00201206: text("IS", str(one.series)),
        0x00201208: text("IS", str(one.instances)),
    }


def nameless(value: str | None, study: HeldStudy) -> str | None:
    """A description that names nobody: a home that keeps identities keeps texts whole, too."""
    if value is None or study.identity is None:
        return value
    from medsiglip.ingest.privacy.free_text import identity_of, without_identifiers

    known = tuple(str(one) for one in study.identity.values())
    people = identity_of(known, (str(study.identity.get("patient_name", "")),))
    return without_identifiers(value, people)
