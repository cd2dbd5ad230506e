from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.workers.render_files import Rendered, render_files
from tests.ingest.read_files import images_of


def test_display_values_before_resizing(tmp_path: Path, write_dicom: Any) -> None:
    stored = np.linspace(0, 4095, 600).astype(np.uint16).reshape(20, 30)
    write_dicom(tmp_path / "a.dcm", stored, BitsStored=12, WindowCenter=2048, WindowWidth=4096)
    (rendered,) = render_files([tmp_path / "a.dcm"])
    assert isinstance(rendered, Rendered)
    assert (rendered.sop_instance_uid, rendered.frame, rendered.rendering) == ("2.25.1", 0, "voi")
    np.testing.assert_allclose(rendered.pixels, stored / 4095 * 255, atol=0.501)


def test_files_without_a_picture_are_told(tmp_path: Path, write_dicom: Any) -> None:
    (tmp_path / "a.dcm").write_text("text")
    write_dicom(tmp_path / "b.dcm", np.zeros((4, 4), np.uint16), Rows=99)
    Image.new("L", (4, 4), 9).save(tmp_path / "c.png")
    found = {item.path.rsplit("/", 1)[1]: item for item in render_files([tmp_path])}
    assert [type(found[name]) for name in sorted(found)] == [Rejected, Rejected, Rendered]
    codes = {name: one.code for name, one in found.items() if isinstance(one, Rejected)}
    assert codes == {"a.dcm": "not-dicom", "b.dcm": "inconsistent-pixels"}
    (picture,) = (one for one in found.values() if isinstance(one, Rendered))
    assert (picture.rendering, picture.warnings) == ("picture", ("blank",))


def test_a_series_shares_its_percentiles_and_a_lone_slice_says_so(tmp_path: Path, write_series: Any) -> None:
    paths = write_series(tmp_path, 4, "MR")
    together = images_of([tmp_path])
    assert [item.slice_index for item in together] == [0, 1, 2, 3]
    assert len({str(item.rendering_params) for item in together}) == 1
    assert together[0].warnings == ()
    (alone,) = images_of([paths[0]])
    assert alone.warnings == ("single-slice",)
    assert alone.rendering_params != together[0].rendering_params


def nested(tag: int, depth: int) -> bytes:
    """Sequences of stated length within each other, explicit VR little endian (PS3.5 7.5.1)."""
    parts, size = [], 0
    for _ in range(depth):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, size)
        parts.append(struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, size + 8) + item)
        size += 20
    return b"".join(reversed(parts))


@pytest.mark.parametrize("tag", [0x00091010, 0x00283010, 0x00540220, 0xFFFAFFFA])
def test_sequences_nested_to_any_depth_do_not_keep_a_picture_from_being_rendered(
    tmp_path: Path, write_dicom: Any, tag: Any
) -> None:
    """A private one, a VOI LUT, a view code and a signature, before and behind the pixels."""
    path = write_dicom(tmp_path / "x.dcm", np.arange(64, dtype=np.uint16).reshape(8, 8))
    (plain,) = images_of([path])
    data = path.read_bytes()
    starts = {0x00091010: (0x0010, 0x0010), 0x00540220: (0x7FE0, 0x0010), 0x00283010: (0x7FE0, 0x0010)}
    at = data.rindex(struct.pack("<HH", *starts[tag])) if tag in starts else len(data)
    path.write_bytes(data[:at] + nested(tag, 10_000) + data[at:])
    (rendered,) = render_files([path])
    assert isinstance(rendered, Rendered)
    assert np.array_equal(rendered.pixels, plain.pixels)
