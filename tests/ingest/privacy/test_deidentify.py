from __future__ import annotations

import hashlib
import hmac
import stat
import threading
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.privacy.deidentify import MAX_SHIFT_DAYS, SecretKey, age_in_years, content_uid


def test_key_is_made_once_with_mode_0600(tmp_path: Path) -> None:
    first = SecretKey.open(tmp_path / "home")
    path = tmp_path / "home" / "secret.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SecretKey.open(tmp_path / "home") == first
    assert [p.name for p in path.parent.iterdir()] == ["secret.key"]


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    keys = []
    threads = [threading.Thread(target=lambda: keys.append(SecretKey.open(tmp_path))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(keys) == 16
    assert len({key.secret for key in keys}) == 1


def test_damaged_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_bytes(b"short")
    with pytest.raises(IngestError) as caught:
        SecretKey.open(tmp_path)
    assert caught.value.code == "secret-key-invalid"


def test_patient_key_is_an_hmac_of_issuer_and_id() -> None:
    key = SecretKey(b"k" * 32)
    expected = hmac.new(b"k" * 32, b"patient\0HOSPITAL\0" + b"123", hashlib.sha256).hexdigest()[:32]
    assert key.patient_key("HOSPITAL", " 123 ") == expected
    others = {
        key.patient_key("", "HOSPITAL123"),
        key.patient_key("HOSPITAL1", "23"),
        key.patient_key("", "123"),
    }
    assert expected not in others
    assert len(others) == 3
    assert SecretKey(b"j" * 32).patient_key("HOSPITAL", "123") != expected


def test_key_does_not_show_in_its_representation() -> None:
    assert "kkk" not in repr(SecretKey(b"k" * 32))


def test_derived_uids_are_valid() -> None:
    assert content_uid("f" * 32) == f"2.25.{2**128 - 1}"
    assert len(content_uid("f" * 64)) <= 64


@pytest.mark.parametrize(
    ("age", "birth", "study", "years"),
    [
        ("045Y", "", "", 45.0),
        ("006M", "", "", 0.5),
        ("073D", "", "", 0.2),
        ("", "19800615", "20200614", 39.0),
        ("", "19800615", "20200615", 40.0),
        ("", "1980.06.15", "20200615", 40.0),
        ("", "20210101", "20200101", None),
        ("old", "", "20200101", None),
        ("", "19801340", "20200101", None),
        ("999Y", "", "", None),
        ("131Y", "", "", None),
        ("130Y", "", "", 130.0),
        ("999M", "", "", 83.25),
        ("999D", "", "", 2.74),
        ("-05Y", "", "", None),
        ("999Y", "19800615", "20200615", 40.0),
        ("", "00010101", "20200615", None),
        ("", "18000101", "20200615", None),
        ("", "18900615", "20200614", 129.0),
        ("999Y", "00010101", "20200615", None),
        ("000Y", "", "", 0.0),
    ],
)
def test_age(age: Any, birth: Any, study: Any, years: Any) -> None:
    assert age_in_years(age, birth, study) == years


KEY = SecretKey(b"k" * 32)
STRICT = replace(KEY, phi="strict")


def test_uids_stay_unless_the_home_is_strict_or_they_are_none() -> None:
    assert KEY.uid("1.2.840.1") == "1.2.840.1"
    assert KEY.uid("DOE.JANE.1") != "DOE.JANE.1"
    assert KEY.uid("DOE.JANE.1") == KEY.uid("DOE.JANE.1") != KEY.uid("DOE.JANE.2")
    assert replace(KEY, phi="keep").uid("DOE.JANE.1") == "DOE.JANE.1"
    hidden = [STRICT.uid(f"1.2.840.{n}") for n in range(100)]
    assert len(set(hidden)) == 100
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in hidden)
    assert STRICT.uid("1.2") != replace(SecretKey(b"j" * 32), phi="strict").uid("1.2")
    assert STRICT.uid("") == ""


def test_dates_of_one_patient_are_shifted_by_the_same_days() -> None:
    first, second = date(2020, 2, 28), date(2021, 3, 1)
    assert KEY.day(first, "patient") == first
    shifts = {}
    for patient in map(str, range(50)):
        days = [STRICT.day(day, patient) for day in (first, second)]
        assert days[0] is not None
        assert days[1] is not None
        shifts[patient] = first - days[0]
        assert second - days[1] == shifts[patient]
        assert timedelta(days=1) <= shifts[patient] <= timedelta(days=MAX_SHIFT_DAYS)
    assert len(set(shifts.values())) > 40
    assert STRICT.day(date.min, "patient") is None


@pytest.mark.parametrize(
    ("years", "kept"), [(None, None), (0.5, 0.5), (89.0, 89.0), (89.5, 90.0), (104.0, 90.0)]
)
def test_ages_above_89_are_one_in_a_strict_home(years: Any, kept: Any) -> None:
    assert STRICT.age(years) == kept
    assert KEY.age(years) == years


def test_times_of_files_are_told_apart_and_not_told_in_a_strict_home() -> None:
    moments = [1_577_923_200_000_000_000 + n for n in range(100)]
    assert [KEY.moment(one) for one in moments] == moments
    hidden = {STRICT.moment(one) for one in moments}
    assert len(hidden) == 100
    assert hidden.isdisjoint(moments)
    assert all(0 <= one < 1 << 63 for one in hidden)  # what the catalogue's columns take
    assert STRICT.moment(moments[0]) != replace(SecretKey(b"j" * 32), phi="strict").moment(moments[0])


def test_paths_of_any_bytes_have_a_code() -> None:
    assert STRICT.path("/a/\udcff") != STRICT.path("/a/b")
    assert len(STRICT.path("/a/\udcff")) == 32
