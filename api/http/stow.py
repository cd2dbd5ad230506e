"""STOW-RS: the result of each instance of a store transaction (DICOM PS3.18, section 10.5).

An instance counts as stored when its file is in the home, its header says that it is an image, and the job
that ingests it is in the catalogue. From then on it survives any crash; pixels that cannot be decoded appear
in the job's report. Other instances are refused as a SOP class that is not supported, and not kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medsiglip.ingest.workers.rendering_pool import RenderingPool

# PS3.18, table I.2-2, and PS3.4, annex B.2.3.
SOP_CLASS_NOT_SUPPORTED = 0x0122
PROCESSING_FAILURE = 0x0110
OUT_OF_RESOURCES = 0xA700
DATA_SET_DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000

_REASONS = {
    "picture-too-large": OUT_OF_RESOURCES,
    "decoder-memory": OUT_OF_RESOURCES,
    "no-decoder": PROCESSING_FAILURE,
    "decoder-crashed": PROCESSING_FAILURE,
    "decoder-timeout": PROCESSING_FAILURE,
    "permission-denied": PROCESSING_FAILURE,
    "unreadable-file": PROCESSING_FAILURE,
    "not-an-image": CANNOT_UNDERSTAND,
}


@dataclass(frozen=True, slots=True)
class Instance:
    """One part of the request; `failure` is the FailureReason (0008,1197), None where it is stored."""

    file: Path
    sop_class_uid: str
    sop_instance_uid: str
    failure: int | None = None


def inspect_instance(file: Path, study_instance_uid: str | None, rendering_pool: RenderingPool) -> Instance:
    """Check a part by its header, which a worker reads, and, if a study is given, whether it belongs to
    it.
    """
    from medsiglip.ingest.files.walk import FoundFile
    from medsiglip.ingest.privacy.deidentify import KEY_BYTES, SecretKey
    from medsiglip.ingest.reasons import REASONS, SKIPPED, Rejected

    status = file.stat()
    declared = _file_meta(file)
    # Any key will do: the answer has the UIDs of the file and no patient key.
    key = SecretKey(bytes(KEY_BYTES))
    header = rendering_pool.scan(FoundFile(str(file), status.st_size, status.st_mtime_ns), key)
    if isinstance(header, Rejected):
        is_other = header.code != "not-an-image" and REASONS[header.code][0] == SKIPPED
        usual = SOP_CLASS_NOT_SUPPORTED if is_other else CANNOT_UNDERSTAND
        return replace(declared, failure=_REASONS.get(header.code, usual))
    if header.kind != "dicom":
        return replace(declared, failure=CANNOT_UNDERSTAND)
    found = Instance(file, header.sop_class_uid, header.sop_instance_uid)
    if declared.sop_class_uid not in ("", header.sop_class_uid):
        return replace(found, failure=DATA_SET_DOES_NOT_MATCH)
    if study_instance_uid is not None and header.study_instance_uid != study_instance_uid:
        return replace(found, failure=PROCESSING_FAILURE)
    return found


def _file_meta(file: Path) -> Instance:
    """The UIDs of the File Meta Information (PS3.10, section 7.1)."""
    from pydicom.filereader import read_file_meta_info

    try:
        meta = read_file_meta_info(file)
        sop_class = str(meta.get("MediaStorageSOPClassUID", "") or "")
        instance = str(meta.get("MediaStorageSOPInstanceUID", "") or "")
    except Exception:  # pydicom raises many types of errors over damaged bytes
        return Instance(file, "", "")
    return Instance(file, _uid(sop_class), _uid(instance))


def _uid(value: str) -> str:
    from pydicom.uid import UID

    return value if UID(value, validation_mode=0).is_valid else ""


def response(instances: Sequence[Instance]) -> tuple[int, dict[str, Any]]:
    """Status and Store Instances Response Module (PS3.18, section I.2) in the DICOM JSON model (annex F).

    200 when all were stored, 202 when some, 409 when none. Retrieve URLs are empty: an instance can be
    retrieved when the job that ingests it is done.
    """
    stored = [one for one in instances if one.failure is None]
    failed = [one for one in instances if one.failure is not None]
    module: dict[str, Any] = {"00081190": {"vr": "UR"}}
    if failed:
        module["00081198"] = {
            "vr": "SQ",
            "Value": [{**_names(one), "00081197": {"vr": "US", "Value": [one.failure]}} for one in failed],
        }
    if stored:
        module["00081199"] = {
            "vr": "SQ",
            "Value": [{**_names(one), "00081190": {"vr": "UR"}} for one in stored],
        }
    return (200 if not failed else 202 if stored else 409), module


def _names(one: Instance) -> dict[str, Any]:
    found = {"00081150": one.sop_class_uid, "00081155": one.sop_instance_uid}
    return {tag: {"vr": "UI", **({"Value": [uid]} if uid else {})} for tag, uid in found.items()}
