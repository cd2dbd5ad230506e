"""Headers read without pixels, ours against pydicom, which leaves values unparsed; ours become text."""

from pathlib import Path
from typing import Any

from pydicom import dcmread

from benchmarks.measure import Outcome, alternate
from benchmarks.radiographs import NAME, write_radiographs
from medsiglip.ingest.header.elements import read_elements
from medsiglip.ingest.header.header_values import KEYWORDS, META_KEYWORDS

TITLE = "header scan, files/s ÷ pydicom dcmread(stop_before_pixels=True)"
GOAL = 6.0
GUARD = "equal values on every file"
FILES, SIZE = 1500, 64


def measure(folder: Path, rounds: int) -> Outcome:
    paths = [str(path) for path in write_radiographs(folder / NAME, FILES, SIZE)]
    for path in paths:
        ours_values, peer_values = dict(read_elements(path).values), _values(path)
        if ours_values != peer_values:
            keyword = min(k for k in KEYWORDS if ours_values.get(k) != peer_values.get(k))
            return Outcome(TITLE, GOAL, GUARD, FILES, failure=f"{Path(path).name} differs in {keyword}")

    def ours() -> None:
        for path in paths:
            read_elements(path)

    def peer() -> None:
        for path in paths:
            dcmread(path, stop_before_pixels=True)

    return Outcome(TITLE, GOAL, GUARD, FILES, *alternate(ours, peer, rounds))


def _values(path: str) -> dict[str, Any]:
    """What pydicom reads for the keywords of a scan: integers, else text with backslashes between values."""
    dataset = dcmread(path, stop_before_pixels=True)
    found: dict[str, Any] = {}
    for keyword in KEYWORDS:
        value = (dataset.file_meta if keyword in META_KEYWORDS else dataset).get(keyword)
        if value is None or value == "":
            continue
        several = value if hasattr(value, "append") else [value]
        found[keyword] = value if type(value) is int else "\\".join(str(part) for part in several)
    return found
