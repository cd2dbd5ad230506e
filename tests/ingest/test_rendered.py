from __future__ import annotations

import numpy as np
from PIL import Image

from ingest.pipeline import Rendered, render_files
from ingest.reasons import Rejected


def test_display_values_before_resizing(tmp_path, write_dicom):
    stored = np.linspace(0, 4095, 600).astype(np.uint16).reshape(20, 30)
    write_dicom(tmp_path / "a.dcm", stored, BitsStored=12, WindowCenter=2048, WindowWidth=4096)
    (rendered,) = render_files([tmp_path / "a.dcm"])
    assert isinstance(rendered, Rendered)
    assert (rendered.sop_instance_uid, rendered.frame, rendered.rendering) == ("2.25.1", 0, "voi")
    np.testing.assert_allclose(rendered.pixels, stored / 4095 * 255, atol=0.501)


def test_files_without_a_picture_are_told(tmp_path, write_dicom):
    (tmp_path / "a.dcm").write_text("text")
    write_dicom(tmp_path / "b.dcm", np.zeros((4, 4), np.uint16), Rows=99)
    Image.new("L", (4, 4), 9).save(tmp_path / "c.png")
    found = {item.path.rsplit("/", 1)[1]: item for item in render_files([tmp_path])}
    assert [type(found[name]) for name in sorted(found)] == [Rejected, Rejected, Rendered]
    assert (found["a.dcm"].code, found["b.dcm"].code) == ("not-dicom", "inconsistent-pixels")
    assert (found["c.png"].rendering, found["c.png"].warnings) == ("picture", ("blank",))


def test_a_series_shares_its_percentiles_and_a_lone_slice_says_so(tmp_path, write_series):
    paths = write_series(tmp_path, 4, "MR")
    together = list(render_files([tmp_path]))
    assert [item.slice_index for item in together] == [0, 1, 2, 3]
    assert len({str(item.rendering_params) for item in together}) == 1
    assert together[0].warnings == ()
    (alone,) = render_files([paths[0]])
    assert alone.warnings == ("single-slice",)
    assert alone.rendering_params != together[0].rendering_params
