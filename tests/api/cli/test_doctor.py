from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medsiglip.api.cli.doctor import Sample, check_transfer_syntaxes
from medsiglip.api.cli.home_check import check_home
from medsiglip.api.settings import read_settings
from tests.api.conftest import Home, run


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
    searches = diagnosis["faiss"]["device"], diagnosis["faiss"]["reason"]
    assert searches == (("cuda:0", None) if diagnosis["faiss"]["gpus"] else ("cpu", "faiss sees no GPU"))
    assert "everything works" in run("doctor").out
    broken = run("--model", tmp_path, "doctor")
    assert broken.code == 1
    assert str(tmp_path) in broken.out


def problems(folder: Path) -> list[str]:
    return [one["code"] for one in check_home(read_settings(home=folder))["problems"]]


def test_a_sound_home_has_no_problems(own_home: Home, tmp_path: Path) -> None:
    assert problems(own_home.path) == []
    nothing = check_home(read_settings(home=tmp_path / "nothing"))
    assert (nothing["made"], nothing["ok"]) == (False, True)
    assert not (tmp_path / "nothing").exists()


def test_a_home_with_keys_alone_needs_no_secret_key(tmp_path: Path) -> None:
    assert run("--home", tmp_path / "home", "keys", "create", "me", "--scopes", "read").code == 0
    (tmp_path / "home" / "secret.key").unlink(missing_ok=True)
    assert problems(tmp_path / "home") == []


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o770])
def test_a_home_that_others_may_read_is_named(own_home: Home, mode: int) -> None:
    own_home.path.chmod(mode)
    assert problems(own_home.path) == ["home-mode"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620])
def test_a_secret_key_that_others_may_use_is_named(own_home: Home, mode: int) -> None:
    (own_home.path / "secret.key").chmod(mode)
    assert problems(own_home.path) == ["secret-key-mode"]


def test_a_secret_key_that_is_missing_or_another_is_named(own_home: Home) -> None:
    key = own_home.path / "secret.key"
    content = key.read_bytes()
    key.write_bytes(bytes(len(content)))
    assert problems(own_home.path) == ["key-mismatch"]
    key.write_bytes(content[1:])
    assert problems(own_home.path) == ["secret-key-invalid"]
    key.unlink()
    assert problems(own_home.path) == ["secret-key-missing"]
    assert not key.exists()
    told = own_home.run("doctor")
    assert told.code == 1
    assert "secret-key-missing" in told.out
    shown = own_home.show("doctor")
    assert shown.code == 1
    assert "everything works" not in shown.out
    assert "secret.key is missing" in " ".join(shown.out.split())


def test_a_password_is_not_shown() -> None:
    from medsiglip.api.settings import printable_values

    shown = printable_values(read_settings(database_url="postgresql+psycopg://me:hidden@localhost/db"))
    assert "hidden" not in str(shown)
    assert "localhost" in str(shown)
