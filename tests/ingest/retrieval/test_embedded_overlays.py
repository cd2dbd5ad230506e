"""An overlay in unused bits of the stored values, which may hold a name, leaves in no form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import RLELossless

from medsiglip.ingest.errors import DecodeError
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.retrieval.file_tasks import FramesTask
from medsiglip.ingest.retrieval.instance_facts import InstanceFile
from tests.api.http.routes.dicomweb.conftest import made, save


def test_codestreams_with_an_overlay_are_withheld_unless_they_are_decoded(tmp_path: Path) -> None:
    dataset = made(1)
    values = np.frombuffer(dataset.PixelData, np.uint16)
    dataset.PixelData = (values | 1 << 12).tobytes()
    dataset.add_new(0x60000102, "US", 12)
    dataset.compress(RLELossless, generate_instance_uid=False)
    path, key = save(dataset, tmp_path / "1.dcm"), SecretKey(bytes(32), "pseudonymous")
    status = path.stat()
    file = InstanceFile(
        str(path), status.st_size, key.moment(status.st_mtime_ns), dataset.SOPInstanceUID, "none"
    )
    with pytest.raises(DecodeError) as refused:
        FramesTask(file, key, (0,), decode=False).perform()
    assert refused.value.code == "burned-in"
    [native] = FramesTask(file, key, (0,), decode=True).perform().parts
    assert np.array_equal(np.frombuffer(native, np.uint16), values)
    assert FramesTask(file, key, (0,), decode=False, show_burned_in=True).perform().parts
