"""What rendering reads of a file, against pydicom's own reader and conversions."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate
from pydicom.multival import MultiValue
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from medsiglip.ingest.dicom.element_value import value_of
from medsiglip.ingest.errors import DecodeError
from medsiglip.ingest.header.header_values import PIXEL_TAGS
from medsiglip.ingest.pixels.decode import open_dataset
from medsiglip.ingest.pixels.fast_dataset import GROUPS, fast_dataset
from medsiglip.ingest.pixels.image_pixel import PIXEL_KEYWORDS
from medsiglip.ingest.privacy.quiet import quiet

PIXELS = np.arange(32 * 1024, dtype=np.uint16).reshape(128, 256)


def grouped(make_dicom: Any, **attributes: Any) -> Any:
    """A header whose functional groups have defined, its view codes undefined length."""
    dataset = make_dicom(PIXELS, **attributes)
    window, frame, view = Dataset(), Dataset(), Dataset()
    window.WindowCenter, window.WindowWidth = 40, 400
    frame.FrameVOILUTSequence = [window]
    view.CodeMeaning, view.ICCProfile = "lateral", bytes(30_000)
    dataset.PerFrameFunctionalGroupsSequence = [frame]
    dataset.ViewCodeSequence = [view, view]
    dataset["ViewCodeSequence"].is_undefined_length = True
    dataset.StudyDescription = "not asked for"
    return dataset


def written(dataset: Any, syntax: Any) -> io.BytesIO:
    dataset.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    dataset.save_as(
        stream,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        enforce_file_format=True,
    )
    stream.seek(0)
    return stream


def read_part(dataset: Any) -> Any:
    """The elements that rendering may ask for."""
    last = min((tag for tag in PIXEL_TAGS if tag in dataset), default=PIXEL_TAGS[-1])
    return {tag for tag in dataset.keys() if tag.group in GROUPS and tag <= last}  # noqa: SIM118


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_equals_what_pydicom_reads(make_dicom: Any, syntax: Any) -> None:
    file = written(grouped(make_dicom), syntax)
    mine = fast_dataset(file)
    file.seek(0)
    whole = dcmread(file)
    assert mine is not None
    assert set(mine.keys()) == read_part(whole)
    assert all(mine[tag] == whole[tag] for tag in read_part(whole))
    assert mine.PerFrameFunctionalGroupsSequence[0].FrameVOILUTSequence[0].WindowWidth == 400
    assert mine.file_meta.TransferSyntaxUID == syntax
    assert mine.original_encoding == whole.original_encoding
    assert "StudyInstanceUID" not in mine


def test_encapsulated_pixel_data_are_those_of_pydicom(make_dicom: Any) -> None:
    dataset = grouped(make_dicom)
    dataset.PixelData = encapsulate([b"\1\2" * 40_000, b"\3\4"])
    dataset["PixelData"].VR = "OB"
    file = written(dataset, RLELossless)
    mine = fast_dataset(file)
    file.seek(0)
    assert mine is not None
    assert mine.PixelData == dcmread(file).PixelData


@pytest.mark.parametrize("kept", [3000, 40_000, -1])
def test_a_file_that_is_cut_short_is_truncated(tmp_path: Path, make_dicom: Any, kept: Any) -> None:
    path = tmp_path / "cut.dcm"
    path.write_bytes(written(grouped(make_dicom), ExplicitVRLittleEndian).getvalue()[:kept])
    with path.open("rb") as file:
        assert fast_dataset(file) is None
    with pytest.raises(DecodeError) as caught:
        open_dataset(str(path))
    assert caught.value.code == "truncated"


@pytest.mark.parametrize("keyword", ["PhotometricInterpretation", "WindowCenter", "RescaleType", "Rows"])
@given(
    st.sampled_from(["CS", "LO", "SH", "UI", "DS", "IS", "US", "SS", "FD", "UN", None]),
    st.one_of(
        st.binary(max_size=12),
        st.lists(
            st.one_of(st.integers(), st.floats(), st.sampled_from(["", "1.5", " 7 ", "1_0", "x\0", "ä"])),
            max_size=3,
        ).map(lambda parts: "\\".join(map(str, parts)).encode("latin-1")),
    ),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_a_value_is_the_one_that_pydicom_converts(keyword: Any, vr: Any, data: Any, little: Any) -> None:
    tag = Tag(keyword)
    made = [Dataset(), Dataset()]
    for dataset in made:
        dataset.set_original_encoding(vr is None, little)
        dataset._dict[tag] = RawDataElement(tag, vr, len(data), data, 0, vr is None, little)
    with quiet():
        try:
            theirs = made[1][tag].value
        except Exception as error:
            with pytest.raises(type(error)):
                value_of(made[0], keyword)
            return
        mine = value_of(made[0], keyword)
    assert as_list(mine) == as_list(theirs)


def as_list(value: Any) -> list[str]:
    """Numbers and texts as text, without the spaces around them."""
    several = value if isinstance(value, list | MultiValue) else [value]
    return [
        str(part).strip() if isinstance(part, str | bytes) or part is None else str(float(part))
        for part in several
    ]


def test_an_absent_value_is_none() -> None:
    assert value_of(Dataset(), "WindowCenter") is None


def check_what_pydicom_reads_over(mine: Dataset, whole: Dataset) -> set[Any]:
    """The elements behind one of blank VR, from which pydicom takes a wrong length for its value."""
    assert (mine.PixelPaddingValue, len(whole.PixelPaddingValue)) == (0, 718)
    behind = {"WindowCenter": -2, "WindowWidth": 1, "RescaleIntercept": -1024, "RescaleSlope": 1}
    assert {keyword: mine[keyword].value for keyword in behind} == behind
    assert mine.RescaleType == "HU"
    return {Tag(keyword) for keyword in (*behind, "RescaleType")}


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_real_files(test_data: Path) -> None:
    """The same elements with the same values as pydicom's, of nearly every file."""
    compared = 0
    for path in sorted(p for p in (test_data / "dicom").rglob("*") if p.is_file()):
        with path.open("rb") as file, quiet():
            mine = fast_dataset(file)
            if mine is None:
                continue
            whole = dcmread(path, force=True)
            theirs_read = read_part(whole)
            if path.name == "GH179A.dcm":
                assert set(mine.keys()) - theirs_read == check_what_pydicom_reads_over(mine, whole)
                theirs_read -= {Tag("PixelPaddingValue")}
            else:
                assert set(mine.keys()) == theirs_read, path
            assert mine.original_encoding == whole.original_encoding, path
            assert mine.file_meta.get("TransferSyntaxUID") == whole.file_meta.get("TransferSyntaxUID"), path
            for tag in theirs_read:
                try:
                    theirs = whole[tag]
                except Exception as error:
                    with pytest.raises(type(error)):
                        mine[tag]
                    continue
                assert (mine[tag].VR, mine[tag].value) == (theirs.VR, theirs.value), (path, tag)
        compared += any(keyword in mine for keyword in PIXEL_KEYWORDS)
    assert compared > 350
