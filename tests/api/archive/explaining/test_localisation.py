"""What was measured of a model's maps is read from the home, else from beside the checkpoint."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from medsiglip.api.archive.explaining.localisation import localisation
from medsiglip.checkpoint import TINY

NAME = "e6b64783312d-medsiglip-eval-128"


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b'{"%s": 7}' % NAME.encode(), b'{"%s": {"share": "x"}}' % NAME.encode()],
)
def test_a_damaged_file_of_the_home_counts_as_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "localisation.json").write_bytes(content)
    archive: Any = SimpleNamespace(
        space=SimpleNamespace(name=NAME), home=tmp_path, checkpoint=SimpleNamespace(folder=TINY)
    )
    found = localisation(archive)
    assert found is not None
    assert found.phantoms == 186
    archive.checkpoint.folder = tmp_path
    assert localisation(archive) is None
