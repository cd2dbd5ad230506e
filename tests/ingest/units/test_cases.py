"""Series of the list of cases: which stacks they are, in which order, and with which warnings."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from medsiglip.ingest.files.walk import walk
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.scan.scan import scan_file
from medsiglip.ingest.units.plan import plan

SERIES = {
    "microct/": ("12 slices 0.01 mm apart in order s001..s012, one stack, no warning", [range(1, 13)], set()),
    "kernels/": ("two stacks 1-8 and 9-16", [range(1, 9), range(9, 17)], set()),
    "dualkvp/": ("two stacks by KVP: odd files, even files", [range(1, 17, 2), range(2, 17, 2)], set()),
    "slicelocation/": ("order s000..s009", [range(10)], {"slice-location-order"}),
}


@pytest.mark.parametrize("name", SERIES)
def test_a_series_of_the_cases(test_cases: Path, name: str) -> None:
    said, stacks, warnings = SERIES[name]
    cases: dict[str, Any] = json.loads((test_cases / "dicom" / "expected.json").read_text("utf-8"))
    assert said in cases[name]["expected"]
    found = [scan_file(one, SecretKey(bytes(32))) for one in walk([test_cases / "dicom" / "inputs" / name])]  # type: ignore[arg-type]
    headers = [one for one in found if isinstance(one, Header)]
    (unit,) = plan(headers)
    by_contrast: dict[int, list[str]] = {}
    for item in unit.slices:
        by_contrast.setdefault(item.contrast, []).append(os.path.basename(unit.headers[item.file].path))
    expected = [[f"s{number:03d}.dcm" for number in stack] for stack in stacks]
    assert sorted(by_contrast.values()) == sorted(expected)
    assert {code for item in unit.slices for code in item.warnings} == warnings
    assert [item.slice_index for item in unit.slices] == list(range(len(headers)))
