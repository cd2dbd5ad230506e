"""Files for an ingest, and what its report says of them."""

from __future__ import annotations

import os
import shutil
from typing import Any

import numpy as np
from PIL import Image

PIXELS = np.arange(256, dtype=np.uint16).reshape(16, 16)


def codes(report: Any, outcome: Any) -> Any:
    return {os.path.basename(entry["path"]): entry["code"] for entry in report[outcome]}


def corpus(folder: Any, write_dicom: Any, write_series: Any) -> Any:
    """12 embedded files in 4 series, a copy, a skipped and two quarantined files."""
    write_series(folder / "ct", 5)
    write_series(folder / "mr", 4, "MR", uid=8)
    for n in range(2):
        write_dicom(folder / f"dx{n}.dcm", PIXELS + n, SOPInstanceUID=f"2.25.5{n}", PatientID=f"D{n}")
    Image.fromarray(PIXELS.astype(np.uint8)).save(folder / "picture.png")
    shutil.copy(folder / "dx0.dcm", folder / "dx0-copy.dcm")
    (folder / "notes.txt").write_text("nothing to see")
    (folder / "text.dcm").write_text("not DICOM at all")
    whole = (folder / "dx1.dcm").read_bytes()
    (folder / "cut.dcm").write_bytes(whole.replace(b"2.25.51", b"2.25.59")[:-50])
    return folder
