"""WADO-RS compared with what pydicom reads from the files themselves."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import get_frame

from tests.api.http.routes.dicomweb.conftest import SERIES, STUDY, Served

AS_STORED = {"Accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}
JPEG = "1.2.840.10008.1.2.4.50"
# pydicom has no decoder of its own for JPEG-LS, and none for JPEG of 12 bits.
UNDECODED = tuple(f"1.2.840.10008.1.2.4.{number}" for number in (51, 80, 81))
KEPT = (
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel"),
    *("PhotometricInterpretation", "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient"),
    *("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "SliceThickness", "SeriesNumber"),
    *("InstanceNumber", "NumberOfFrames", "FrameOfReferenceUID", "SOPClassUID", "StudyInstanceUID"),
)


def client(served: Served, scope: str = "read") -> DICOMwebClient:
    return DICOMwebClient(served.url, headers={"Authorization": f"Bearer {served.service.keys[scope]}"})


def place(dataset: Dataset) -> tuple[str, str, str]:
    return dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID


def files(served: Served) -> list[Path]:
    """The made files, but the one that is withheld, and the real ones."""
    own = [path for path in sorted(served.folder.glob("*.dcm")) if path.stem != "30"]
    return [*own, *served.real.values()]


def test_metadata_are_those_of_the_files(served: Served) -> None:
    asked = client(served)
    for path in files(served):
        truth = dcmread(path)
        found = Dataset.from_json(asked.retrieve_instance_metadata(*place(truth)), lambda *_: b"")
        for keyword in KEPT:
            if keyword in truth:
                assert found[keyword].value == truth[keyword].value, (path, keyword)
        assert found.PatientIdentityRemoved == "YES"
        assert found.AvailableTransferSyntaxUID in (
            truth.file_meta.TransferSyntaxUID,
            pydicom.uid.ExplicitVRLittleEndian,
        )
    assert len(asked.retrieve_series_metadata(STUDY, SERIES)) == 3
    assert len(asked.retrieve_study_metadata(STUDY)) == 5


def test_frames_are_handed_on_as_they_are_stored(served: Served) -> None:
    any_syntax = (("application/octet-stream", "*"),)
    for path in files(served):
        truth, count = dcmread(path), int(dcmread(path).get("NumberOfFrames", 1))
        wanted = list(range(1, count + 1))
        found = client(served).retrieve_instance_frames(*place(truth), wanted, media_types=any_syntax)
        assert len(found) == count
        if truth.file_meta.TransferSyntaxUID.is_compressed:
            stored = [get_frame(truth.PixelData, i, number_of_frames=count) for i in range(count)]
            assert [len(one) for one in found] == [len(one) for one in stored]
            if path.stem != "40":  # there words in the codestream are blanked
                assert [_plain(one) for one in found] == [_plain(one) for one in stored], path
        else:
            assert b"".join(found) == truth.pixel_array.tobytes()


def _plain(codestream: bytes) -> bytes:
    """Without the comment of JPEG 2000, which names its writer, and the byte behind its end."""
    codestream = bytes(codestream).rstrip(b"\0\xff")
    if not codestream.startswith(b"\xff\x4f"):
        return codestream
    at = codestream.find(b"\xff\x64", 0, 400)
    if at < 0:
        return codestream
    return codestream[:at] + codestream[at + 2 + int.from_bytes(codestream[at + 2 : at + 4], "big") :]


def test_frames_are_decoded_for_who_does_not_take_their_syntax(served: Served) -> None:
    for path in files(served):
        truth = dcmread(path)
        if truth.file_meta.TransferSyntaxUID in UNDECODED:
            continue
        [found] = client(served).retrieve_instance_frames(*place(truth), [1])
        wanted = truth.pixel_array
        first = wanted[0] if int(truth.get("NumberOfFrames", 1)) > 1 else wanted
        values = np.frombuffer(found, first.dtype).reshape(first.shape)
        if truth.SamplesPerPixel == 1:
            assert np.array_equal(values, first), path
        else:
            assert np.abs(values.astype(int) - first).max() <= 3, path


def test_metadata_may_describe_decoded_frames(served: Served) -> None:
    truth = dcmread(served.folder / "40.dcm")
    native = {"Accept": "application/dicom+json; transfer-syntax=1.2.840.10008.1.2.1"}
    with served.http() as http:
        [stored] = http.get(f"{served.of(truth)}/metadata").json()
        [decoded] = http.get(f"{served.of(truth)}/metadata", headers=native).json()
        frame = http.get(f"{served.of(truth)}/frames/1", headers={"Accept": "application/octet-stream"})
    assert (stored["00280004"]["Value"], stored["00083002"]["Value"]) == (["YBR_FULL_422"], [JPEG])
    told = Dataset.from_json(decoded, lambda *_: b"")
    assert told.AvailableTransferSyntaxUID == "1.2.840.10008.1.2.1"
    assert (told.PhotometricInterpretation, told.PlanarConfiguration) == ("RGB", 0)
    assert told.Rows * told.Columns * told.SamplesPerPixel * told.BitsAllocated // 8 == len(frame.content)


def test_whole_files_show_the_same_pixels(served: Served, tmp_path: Path) -> None:
    for path in files(served):
        truth = dcmread(path)
        for asked in ("*", "1.2.840.10008.1.2.1"):
            media_types = (("application/dicom", asked),)
            found = client(served).retrieve_instance(*place(truth), media_types=media_types)
            syntax = found.file_meta.TransferSyntaxUID
            decoded = asked != "*" or not truth.file_meta.TransferSyntaxUID.is_compressed
            assert syntax == (
                pydicom.uid.ExplicitVRLittleEndian if decoded else truth.file_meta.TransferSyntaxUID
            )
            if truth.file_meta.TransferSyntaxUID in UNDECODED:
                continue
            if truth.SamplesPerPixel == 1:
                assert np.array_equal(found.pixel_array, truth.pixel_array), path
            assert found.SOPInstanceUID == found.file_meta.MediaStorageSOPInstanceUID
    assert len(client(served).retrieve_series(STUDY, SERIES)) == 3


def test_one_file_and_one_frame_come_without_parts(served: Served) -> None:
    truth = dcmread(served.folder / "2.dcm")
    with served.http() as http:
        file = http.get(served.of(truth), headers={"Accept": "application/dicom; transfer-syntax=*"})
        frame = http.get(f"{served.of(truth)}/frames/1", headers={"Accept": "application/octet-stream"})
        jpeg = dcmread(served.folder / "40.dcm")
        image = http.get(f"{served.of(jpeg)}/frames/1", headers={"Accept": "image/jpeg"})
        refused = http.get(f"{served.of(truth)}/frames/1", headers={"Accept": "image/jp2"})
    assert np.array_equal(dcmread(io.BytesIO(file.content)).pixel_array, truth.pixel_array)
    assert frame.content == truth.PixelData
    assert image.headers["content-type"] == "image/jpeg; transfer-syntax=1.2.840.10008.1.2.4.50"
    assert Image.open(io.BytesIO(image.content)).size == (32, 24)
    assert (refused.status_code, refused.json()["code"]) == (406, "not-acceptable")


def test_bulk_data_lie_where_the_metadata_say(served: Served) -> None:
    for stem in ("1", "20"):
        truth = dcmread(served.folder / f"{stem}.dcm")
        asked = client(served)
        address = asked.retrieve_instance_metadata(*place(truth))["7FE00010"]["BulkDataURI"]
        assert address.startswith(served.url)
        assert b"".join(asked.retrieve_bulkdata(address)) == truth.pixel_array.tobytes()
    with served.http() as http:
        missing = http.get(f"{served.of(truth)}/bulkdata/00281201")
        assert (missing.status_code, missing.json()["code"]) == (404, "unknown-bulk-data")


@pytest.mark.parametrize("kind", ["image/jpeg", "image/png"])
def test_rendered_frames_follow_the_window(served: Served, kind: str) -> None:
    truth = dcmread(served.folder / "1.dcm")
    values = truth.pixel_array - 1024.0
    ramp = np.clip((values - (40 - 0.5)) / 399 + 0.5, 0, 1) * 255  # PS3.3 C.11.2.1.2.1
    with served.http() as http:
        answer = http.get(f"{served.of(truth)}/rendered", headers={"Accept": kind})
        other = http.get(f"{served.of(truth)}/rendered", params={"window": "0,2000,linear-exact"})
        small = http.get(f"{served.of(truth)}/rendered", params={"viewport": "16,16", "quality": 50})
    assert answer.headers["content-type"] == kind
    shown = np.asarray(Image.open(io.BytesIO(answer.content)), float)
    assert np.abs(shown - ramp).mean() <= (1 if kind == "image/png" else 8)
    exact = np.clip((values + 1000) / 2000, 0, 1) * 255
    assert np.abs(np.asarray(Image.open(io.BytesIO(other.content)), float) - exact).mean() < 8
    assert Image.open(io.BytesIO(small.content)).size == (16, 12)


def test_thumbnails_stand_for_each_level(served: Served) -> None:
    truth = dcmread(served.folder / "20.dcm")
    study, series = f"/studies/{STUDY}", f"/studies/{STUDY}/series/{truth.SeriesInstanceUID}"
    with served.http() as http:
        for path in (study, series, served.of(truth)):
            picture = Image.open(io.BytesIO(http.get(f"{path}/thumbnail").content))
            assert picture.size == (192, 144)
            less = http.get(f"{path}/thumbnail", params={"viewport": "40,40"})
            assert Image.open(io.BytesIO(less.content)).size == (40, 30)
        third = http.get(f"{served.of(truth)}/frames/3/rendered", headers={"Accept": "image/png"})
        beyond = http.get(f"{served.of(truth)}/frames/6/rendered")
    wanted = np.clip((truth.pixel_array[2] - 1024.0 - 39.5) / 399 + 0.5, 0, 1) * 255
    assert np.abs(np.asarray(Image.open(io.BytesIO(third.content)), float) - wanted).mean() <= 1
    assert (beyond.status_code, beyond.json()["code"]) == (404, "unknown-frame")


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/studies/1.2.3/metadata", 404, "unknown-study"),
        (f"/studies/{STUDY}/series/1.2.3", 404, "unknown-series"),
        (f"/studies/{STUDY}/series/{SERIES}/instances/1.2.3", 404, "unknown-instance"),
        (f"/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1/frames/2", 404, "unknown-frame"),
        (f"/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1/frames/0", 422, "bad-request"),
        (f"/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1/frames/1,1", 400, "bad-dicomweb-query"),
        (f"/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1/rendered?window=a,b", 400, None),
        (f"/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1/rendered?window=1,0", 400, None),
    ],
)
def test_what_is_not_there_is_told(served: Served, path: str, status: int, code: str | None) -> None:
    with served.http() as http:
        answer = http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (status, code or "bad-dicomweb-query")


def test_what_may_name_a_patient_in_its_pixels_is_withheld(served: Served) -> None:
    truth = dcmread(served.folder / "30.dcm")
    of_it = served.of(truth)
    paths = [of_it, f"{of_it}/frames/1", f"{of_it}/rendered", f"{of_it}/frames/1/rendered"]
    paths += [f"{of_it}/thumbnail", f"{of_it}/bulkdata/7FE00010", of_it.rpartition("/instances")[0]]
    for scope, shown, status in (("read", "true", 403), ("admin", "false", 403), ("admin", "true", 200)):
        with served.http(scope) as http:
            for path in paths:
                answer = http.get(path, params={"show_burned_in": shown})
                assert answer.status_code == status, (path, scope)
                assert status == 200 or answer.json()["code"] == "burned-in"
    with served.http() as http:
        assert http.get(f"{of_it}/metadata").status_code == 200
        whole = http.get(f"/studies/{STUDY}")
    assert "1 of 5 instances are left out: they may name the patient" in whole.headers["warning"]
    assert whole.content.count(b"Content-Type: application/dicom;") == 4
    assert truth.PixelData not in whole.content


def test_frames_of_one_opening_are_one_event(served: Served) -> None:
    truth = dcmread(served.folder / "40.dcm")

    def events() -> list[dict[str, Any]]:
        with served.service.http("admin") as http:
            lines = [json.loads(line) for line in http.get("/v1/audit").text.splitlines()]
        views = [one for one in lines if one["action"] == "view"]
        return [one for one in views if truth.StudyInstanceUID in one["studies"]]

    with served.http("train") as refused:
        assert refused.get(f"{served.of(truth)}/metadata").status_code == 403
    before = len(events())
    with served.http() as http:
        for _ in range(3):
            http.get(f"{served.of(truth)}/metadata").raise_for_status()
            http.get(f"{served.of(truth)}/frames/1", headers=AS_STORED).raise_for_status()
    assert len(events()) - before <= 1
    assert events()
