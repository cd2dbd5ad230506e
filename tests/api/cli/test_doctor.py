from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medsiglip.api.cli.doctor import Sample, check_transfer_syntaxes
from medsiglip.api.settings import read_settings
from tests.api.conftest import run


def test_every_listed_transfer_syntax_is_decoded() -> None:
    checked = check_transfer_syntaxes()
    assert [syntax["name"] for syntax in checked if not syntax["ok"]] == []
    assert all(set(syntax) >= {"uid", "name", "decoder", "ok"} for syntax in checked)
    assert {syntax["uid"].removeprefix("1.2.840.10008.1.2") for syntax in checked} >= {
        *("", ".1", ".1.99", ".2", ".5", ".4.50", ".4.51", ".4.57", ".4.70"),
        *(".4.80", ".4.81", ".4.90", ".4.91", ".4.201"),
    }


def test_a_wrong_picture_and_a_failing_decoder_are_not_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    import imagecodecs

    jpeg_ls = "1.2.840.10008.1.2.4.80"
    inverted = Sample(
        jpeg_ls, 12, lambda picture: bytes(imagecodecs.jpegls_encode(np.uint16(4095) - picture))
    )
    noise = Sample(jpeg_ls, 12, lambda picture: b"\x12\x34" * 100)
    monkeypatch.setattr("medsiglip.api.cli.doctor.SAMPLES", (inverted, noise))
    assert [syntax["ok"] for syntax in check_transfer_syntaxes()] == [False, False]


def test_doctor(tmp_path: Path) -> None:
    diagnosis = run("--json", "doctor").json
    assert set(diagnosis) >= {"transfer_syntaxes", "device", "faiss", "model", "ok"}
    assert diagnosis["ok"]
    assert diagnosis["model"]["dimension"] > 0
    assert "everything works" in run("doctor").out
    broken = run("--model", tmp_path, "doctor")
    assert broken.code == 1
    assert str(tmp_path) in broken.out


def test_a_password_is_not_shown() -> None:
    from medsiglip.api.settings import printable_values

    shown = printable_values(read_settings(database_url="postgresql+psycopg://me:hidden@localhost/db"))
    assert "hidden" not in str(shown)
    assert "localhost" in str(shown)
