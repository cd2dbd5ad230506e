"""Which elements of a header are handed on, by their VRs and by what they say."""

from __future__ import annotations

import json
import struct
from io import BytesIO
from typing import Any

import pydicom
import pytest
from pydicom import Dataset, Sequence, config
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from medsiglip.ingest.dicom.element_value import Elements
from medsiglip.ingest.header.header_texts import HeaderTexts
from medsiglip.ingest.privacy.deidentify import Phi, SecretKey
from medsiglip.ingest.retrieval.data_element import as_bytes, as_json
from medsiglip.ingest.retrieval.deidentified import Deidentifier
from medsiglip.ingest.retrieval.instance_facts import InstanceFacts, dicom_age

FACTS = InstanceFacts("1.2.1", "1.2.2", "1.2.3", "k" * 32, study_date="2024-03-05", study_time="10:15:00")
PEOPLE: Elements = {"PatientName": "Quillfeather^Ada", "PatientID": "4711007"}


def handed_on(
    dataset: Dataset, phi: Phi = "pseudonymous", syntax: str = ExplicitVRLittleEndian
) -> tuple[Dataset, dict[str, Any]]:
    """What leaves, as pydicom reads it from bytes and from JSON; both must agree."""
    written = BytesIO()
    implicit = syntax == ImplicitVRLittleEndian
    with config.disable_value_validation():
        pydicom.dcmwrite(written, dataset, implicit_vr=implicit, little_endian=True)
    written.seek(0)
    read = pydicom.dcmread(written, force=True)
    key = SecretKey(bytes(32), phi)
    found = Deidentifier(key, HeaderTexts(PEOPLE, phi)).data_set(read, FACTS)
    shown = as_json(found, lambda place: "bulk:" + "/".join(map(str, place)))
    assert json.loads(json.dumps(shown, allow_nan=False)) == shown
    again = pydicom.dcmread(BytesIO(as_bytes(found)), force=True)
    return again, shown


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_numbers_codes_and_places_leave(syntax: str) -> None:
    dataset = Dataset()
    dataset.Rows, dataset.Columns, dataset.PixelRepresentation = 512, 256, 1
    dataset.PixelPaddingValue = -2000
    dataset.PixelSpacing, dataset.RescaleSlope = [0.5, 0.25], "1.5"
    dataset.PatientPosition, dataset.ImageType = "HFS", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.FrameIncrementPointer, dataset.TableSpeed = 0x00181063, 12.25
    dataset.DiffusionBValue, dataset.InstanceNumber = 1000.0, 7
    place, group = Dataset(), Dataset()
    place.ImagePositionPatient = [1, 2, 3]
    group.PlanePositionSequence = Sequence([place])
    dataset.PerFrameFunctionalGroupsSequence = Sequence([group, group])
    found, shown = handed_on(dataset, syntax=syntax)
    for element in dataset:
        assert found[element.tag].value == element.value, element.keyword
    assert shown["00280009"]["Value"] == ["00181063"]
    assert shown["00280120"] == {"vr": "SS", "Value": [-2000]}
    assert len(shown["52009230"]["Value"]) == 2


def test_empty_elements_stay_and_what_must_be_there_is_emptied() -> None:
    dataset = Dataset()
    dataset.Laterality, dataset.PatientOrientation, dataset.ScanOptions = "", "", None
    dataset.EchoTrainLength, dataset.EchoTime = None, None
    context, code, table = Dataset(), Dataset(), Dataset()
    context.TextValue, code.CodeValue, code.CodeMeaning = "Ada", "", ""
    dataset.PositionReferenceIndicator = "of Ada"
    dataset.AcquisitionContextSequence = Sequence([context])
    dataset.AnatomicRegionSequence = Sequence([code])
    table.ModalityLUTType = "HU"
    dataset.PixelIntensityRelationship, dataset.PatientOrientationCodeSequence = "LIN", Sequence([])
    view = Dataset()
    view.CodeValue, view.CodingSchemeDesignator, view.CodeMeaning = "R-10242", "SNM3", "cranio-caudal"
    dataset.ViewCodeSequence = Sequence([view])
    dataset.ModalityLUTSequence = Sequence([table])
    found, shown = handed_on(dataset)
    for keyword in ("PatientOrientation", "ScanOptions", "EchoTrainLength", "EchoTime"):
        assert keyword in found, keyword
        assert not found[keyword].value, keyword
    assert found.PixelIntensityRelationship == "LIN"
    assert shown["00540410"] == {"vr": "SQ"}
    assert shown["00540220"]["Value"][0]["00080100"]["Value"] == ["R-10242"]
    assert shown["00200060"] == {"vr": "CS"}
    assert shown["00201040"] == {"vr": "LO"}
    assert shown["00400555"] == {"vr": "SQ"}
    assert found.ModalityLUTSequence[0].ModalityLUTType == "HU"


def test_what_names_or_may_name_somebody_stays() -> None:
    dataset = Dataset()
    dataset.PatientName, dataset.PatientBirthDate = "Quillfeather^Ada", "19500101"
    dataset.InstitutionName, dataset.StationName = "St. Nowhere", "ROOM 1"
    dataset.ImageComments, dataset.DerivationDescription = "seen by Dr. Quillfeather", "cropped"
    dataset.ProtocolName, dataset.SequenceName = "Quillfeather special", "tse2d1"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "QUILLFEATHER"]
    dataset.AcquisitionNumber, dataset.DeviceSerialNumber = 4711007, "A1"
    dataset.PatientWeight, dataset.OtherStudyNumbers = 71.5, 3
    dataset.private_block(0x0019, "MAKER", create=True).add_new(1, "LO", "Quillfeather")
    dataset.add_new(0x60003000, "OW", b"Quillfeather")
    dataset.ICCProfile = b"Quillfeather"
    nested = Dataset()
    nested.PatientID = "4711007"
    dataset.RequestAttributesSequence = Sequence([nested])
    with config.disable_value_validation():
        dataset.add_new("ContrastBolusAgent", "LO", "Quillfeather")
    found, shown = handed_on(dataset)
    text = json.dumps(shown).lower()
    for word in ("quillfeather", "4711007", "nowhere", "room", "19500101", "71.5", "maker", "cropped"):
        assert word not in text, word
    assert list(found.ImageType) == ["ORIGINAL", "PRIMARY", ""]
    assert found.PatientID == found.PatientName == "k" * 32
    assert found.PatientBirthDate == found.AccessionNumber == ""
    assert found.SequenceName == "tse2d1" or "SequenceName" not in found


def test_values_that_are_none_of_their_vr_stay() -> None:
    dataset = Dataset()
    with config.disable_value_validation():
        for keyword in ("WindowCenter", "InstanceNumber", "EchoTime", "SeriesTime", "FrameOfReferenceUID"):
            element = Dataset()
            setattr(element, keyword, None)
            dataset.add_new(element[keyword].tag, "LO", "Quillfeather")
    written = BytesIO()
    pydicom.dcmwrite(written, dataset, implicit_vr=True, little_endian=True)
    _, shown = handed_on(pydicom.dcmread(BytesIO(written.getvalue()), force=True))
    assert "quillfeather" not in json.dumps(shown).lower()
    assert not {"00281050", "00200013", "00180081", "00080031", "00200052"} & set(shown)


@pytest.mark.parametrize("vr", ["LO", "UN", "OB", "FD", "US"])
def test_no_number_spells_a_name(vr: str) -> None:
    word = b"Quillfeather^Ada"  # two values of FD, four of UL, eight of US
    dataset = Dataset()
    for tag in (0x00181271, 0x00186016, 0x00186044, 0x00280010, 0x00280120):
        head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
        length = struct.pack("<HI", 0, len(word)) if vr in ("UN", "OB") else struct.pack("<H", len(word))
        dataset.update(pydicom.dcmread(BytesIO(head + length + word), force=True))
    found = Deidentifier(SecretKey(bytes(32), "pseudonymous"), HeaderTexts(PEOPLE, "pseudonymous"))
    assert word not in as_bytes(found.data_set(dataset, FACTS))


def test_dates_times_and_uids_are_as_the_home_keeps_them() -> None:
    dataset = Dataset()
    dataset.SeriesDate, dataset.AcquisitionTime = "20240305", "101612.25"
    dataset.FrameOfReferenceUID = "1.2.840.99.1"
    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.99.2"
    dataset.SourceImageSequence = Sequence([image])
    found, _ = handed_on(dataset)
    assert (found.SeriesDate, found.AcquisitionTime) == ("20240305", "101612.25")
    assert found.FrameOfReferenceUID == "1.2.840.99.1"
    strict, _ = handed_on(dataset, "strict")
    key = SecretKey(bytes(32), "strict")
    assert strict.FrameOfReferenceUID == key.uid("1.2.840.99.1")
    assert strict.SourceImageSequence[0].ReferencedSOPInstanceUID == key.uid("1.2.840.99.2")
    assert strict.SourceImageSequence[0].ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert strict.SeriesDate != "20240305"
    assert "AcquisitionTime" not in strict
    assert strict.LongitudinalTemporalInformationModified == "MODIFIED"


def test_codes_leave_where_their_form_and_meaning_are_known() -> None:
    def coded(value: str, scheme: str, meaning: str) -> Sequence:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
        return Sequence([item])

    for given, leaves in (
        (("39607008", "SCT", "Lung"), True),
        (("T-28000", "SRT", "Lung"), True),
        (("39607008", "SCT", "Quillfeather"), False),
        (("QUILL", "99LOCAL", "Lung"), False),
        (("4711007", "SCT", "Lung"), False),
    ):
        dataset = Dataset()
        dataset.AnatomicRegionSequence = coded(*given)
        found, _ = handed_on(dataset)
        assert ("AnatomicRegionSequence" in found) is leaves, given
    dataset = Dataset()
    mapping = Dataset()
    mapping.MeasurementUnitsCodeSequence = coded("mm2/s", "UCUM", "mm2/s")
    mapping.RealWorldValueSlope = 0.001
    dataset.RealWorldValueMappingSequence = Sequence([mapping])
    found, _ = handed_on(dataset)
    [kept] = found.RealWorldValueMappingSequence
    assert kept.RealWorldValueSlope == 0.001
    assert kept.MeasurementUnitsCodeSequence[0].CodeValue == "mm2/s"


def test_long_tables_are_bulk_data() -> None:
    dataset = Dataset()
    dataset.RedPaletteColorLookupTableDescriptor = [0, 0, 16]
    dataset.RedPaletteColorLookupTableData = bytes(range(256)) * 64
    dataset.GreenPaletteColorLookupTableData = b"\1\2"
    found, shown = handed_on(dataset)
    assert found.RedPaletteColorLookupTableData == dataset.RedPaletteColorLookupTableData
    assert shown["00281201"] == {"vr": "OW", "BulkDataURI": f"bulk:{0x00281201}"}
    assert shown["00281202"]["InlineBinary"] == "AQI="


@pytest.mark.parametrize(
    ("years", "age"),
    [(None, None), (0.01, "004D"), (0.5, "006M"), (1.99, "023M"), (2, "002Y"), (61.7, "061Y")],
)
def test_ages(years: float | None, age: str | None) -> None:
    assert dicom_age(years) == age
